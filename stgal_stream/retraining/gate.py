"""Whether a candidate may take over, judged without labels on times that training did not see.

Law: what an extractor would have learned before the held-out times has to predict them. Each
is calibrated on the sightings before; at held-out times its best buddies by appearance alone have
travel times, and the logarithmic score of those times under its own odds is what it is worth:
log(1 - p + p g1/g0), with p the posterior by appearance and g1/g0 the ratio of the times' densities
for one person and for two. The score is proper: by chance it is below zero on average, who is too
sure of wrong pairs loses most, and only appearance that knows people predicts when they come.
(Good, "Rational decisions", 1952; Gneiting and Raftery, "Strictly proper scoring rules", 2007.)

Both extractors see the same sightings, so the gain is taken sighting by sighting: what both
predict cancels, and so does the luck of the held-out times. What tells the hour instead of the
person (light, a clock in the picture) would predict times as well, so separation is asked too: how
often best buddies lie closer than a known negative, two people of one hour. It must not be worse in
99 % of bootstrap draws of the negatives. Both extractors are asked about the same pairs, their best
buddies, each weighing as much as the mean of both one's log odds says that it is one person:
whoever chose a pair finds it close, and the other one may know better. No pair that came with the
data is asked: what was wrong in training may be wrong there too.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgal_stream.core.calibration.calibrate import calibrate
from stgal_stream.core.calibration.model import Calibration
from stgal_stream.core.gallery.gallery import Gallery
from stgal_stream.core.gallery.normalisation import camera_centred
from stgal_stream.core.matching.pair_scorer import PairScorer
from stgal_stream.retraining.data.pseudo_pairs import known_negative_pairs
from stgal_stream.retraining.data.stream_events import Sighting
from stgal_stream.retraining.intra_camera import told_apart_pairs
from stgal_stream.retraining.negatives import gallery_of
from stgal_stream.settings import TrackerSettings

_MIN_BUDDIES = 50
_MIN_NEGATIVES = 20
_DRAWS = 1000
_SURE = 0.99
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judgement:
    """One extractor at held-out times: its logarithmic score in nats, a sighting; over how many
    best buddies with known travel times; the share of them that it expects to be right, by
    appearance and travel time (None of none); and the separation of known negatives from both
    extractors' best buddies (0.5 is chance; None without a known negative). ``alpha``
    (equation 1) and ``sigma`` (equation 3) are what it was calibrated to on the sightings before
    (None if its embeddings are no numbers)."""

    log_score: float
    n_buddies: int
    expected_precision: float | None
    separation: float | None
    alpha: float | None
    sigma: float | None


@dataclass(frozen=True, slots=True)
class GateResult:
    """The gate's answer and why. ``gain_low`` is what the gain in the score exceeds in 99 % of
    bootstrap draws of the sightings."""

    passed: bool
    reason: str
    baseline: Judgement
    candidate: Judgement
    gain_low: float

    def as_json(self) -> dict[str, Any]:
        """As a release keeps it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Buddies:
    """Best buddies across cameras whose travel times are known: the two sightings of each (M,), the
    log odds by appearance and the log ratio of the travel time."""

    earlier: NDArray[np.int64]
    later: NDArray[np.int64]
    log_appearance: Floats
    log_time: Floats

    def scores(self) -> Floats:
        """The logarithmic score of each pair's travel time: log(1 - p + p g1/g0)."""
        together = self.log_appearance + self.log_time
        return np.asarray(np.logaddexp(0.0, together) - np.logaddexp(0.0, self.log_appearance))

    def posteriors(self) -> Floats:
        """The probability of one person, by appearance and travel time."""
        return np.asarray(1.0 / (1.0 + np.exp(-(self.log_appearance + self.log_time))))


def judge(
    sightings: list[Sighting],
    split: int,
    baseline: NDArray[np.float32],
    candidate: NDArray[np.float32],
) -> GateResult:
    """Compares embeddings (N, D) of sightings in order of time, those from ``split`` on held out of
    the training."""
    found = [HeldOut.of(sightings, split, embeddings) for embeddings in (baseline, candidate)]
    held_out = sightings[split:]
    negatives = _negatives(held_out)
    separations = _separations(found, negatives)
    before, after = (
        _judgement(one, len(held_out), separation)
        for one, separation in zip(found, separations, strict=True)
    )
    scores_before, scores_after = (_scores(one.buddies, len(held_out)) for one in found)
    low = _low(scores_after - scores_before)
    lost = _low(separations[0] - separations[1])
    reason = _reason(after, low, len(negatives), lost)
    return GateResult(reason == "", reason or "better at held-out times", before, after, low)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What one extractor has to say: its best buddies, and the scorer (with what it had learned)
    that found them; none where its embeddings are no numbers."""

    buddies: Buddies
    scorer: PairScorer | None

    @classmethod
    def of(cls, sightings: list[Sighting], split: int, embeddings: NDArray[np.float32]) -> HeldOut:
        if not np.isfinite(embeddings).all():
            nobody = np.zeros(0, np.int64)
            return cls(Buddies(nobody, nobody, np.zeros(0), np.zeros(0)), None)
        learned = learned_from(sightings[:split], embeddings[:split])
        scorer = _scorer(sightings, split, embeddings, learned)
        return cls(_buddies(scorer), scorer)


def _scores(buddies: Buddies, n_held_out: int) -> Floats:
    """The score of each held-out sighting (N,): what best buddies score is counted for the later of
    the two."""
    return np.bincount(buddies.later, buddies.scores(), minlength=n_held_out).astype(np.float64)


def _judgement(found: HeldOut, n_held_out: int, separation: Floats) -> Judgement:
    buddies, scorer = found.buddies, found.scorer
    learned = None if scorer is None else scorer.calibration
    n = len(buddies.later)
    return Judgement(
        float(_scores(buddies, n_held_out).mean()) if n_held_out else 0.0,
        n,
        float(buddies.posteriors().mean()) if n else None,
        float(separation.mean()) if len(separation) else None,
        None if learned is None else learned.alpha,
        None if learned is None else learned.sigma,
    )


def _reason(candidate: Judgement, gain_low: float, n_negatives: int, lost_low: float) -> str:
    """Why not; empty if nothing speaks against it."""
    if candidate.n_buddies < _MIN_BUDDIES:
        return (
            f"{candidate.n_buddies} best buddies with known travel times at held-out times, "
            f"{_MIN_BUDDIES} needed"
        )
    if gain_low <= 0:
        return "it predicts held-out travel times no better than the baseline"
    if n_negatives < _MIN_NEGATIVES:
        return (
            f"{n_negatives} times two people in one camera within two minutes at held-out times, "
            f"{_MIN_NEGATIVES} needed to tell who knows people from who knows the hour"
        )
    if lost_low > 0:
        return "it separates known negatives worse than the baseline"
    return ""


def _low(gain: Floats) -> float:
    """What the mean gain (N,) exceeds in 99 % of bootstrap draws."""
    if not len(gain):
        return 0.0
    rng = np.random.default_rng(0)
    draws = [rng.choice(gain, len(gain)).mean() for _ in range(_DRAWS)]
    return float(np.quantile(draws, 1 - _SURE))


def _scorer(
    sightings: list[Sighting], split: int, embeddings: NDArray[np.float32], learned: Calibration
) -> PairScorer:
    """Of the held-out sightings alone."""
    gallery = gallery_of(sightings, embeddings)
    gallery.expire(-np.inf, keep=len(sightings) - split)
    scorer = PairScorer(gallery)
    scorer.use(learned)
    return scorer


def _buddies(scorer: PairScorer) -> Buddies:
    best, log_appearance, log_time = _nearest(scorer)
    rows, others = np.nonzero(best >= 0)
    partner = best[rows, others]
    mutual = (best[partner, scorer.gallery.cameras[rows]] == rows) & (rows > partner)
    known = mutual & np.isfinite(log_appearance[rows, others])
    at = rows[known], others[known]
    return Buddies(best[at], at[0], log_appearance[at], log_time[at])


def _nearest(scorer: PairScorer) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Of each sighting in each other camera (N, C): the row of the most alike, -1 where there is
    none, and the pair's log odds by appearance and log time ratio."""
    gallery = scorer.gallery
    members = [np.flatnonzero(gallery.cameras == c) for c in range(len(gallery.camera_names))]
    best = np.full((len(gallery), len(members)), -1, np.int64)
    log_appearance, log_time = np.full(best.shape, np.nan), np.zeros(best.shape)
    for number, scores in scorer.rows(range(gallery.first, gallery.next)):
        row = number - gallery.first
        for camera, rows in enumerate(members):
            if camera == gallery.cameras[row] or not len(rows):
                continue
            at = rows[scores.p_visual[rows].argmax()]
            best[row, camera] = at
            log_appearance[row, camera] = scores.log_appearance[at]
            log_time[row, camera] = scores.log_time[at]
    return best, log_appearance, log_time


def learned_from(sightings: list[Sighting], embeddings: NDArray[np.float32]) -> Calibration:
    """A calibration on all of the sightings."""
    settings = TrackerSettings(max_tracklets=max(1, len(sightings)))
    return calibrate(gallery_of(sightings, embeddings), settings, "before")


def _negatives(held_out: list[Sighting]) -> NDArray[np.int64]:
    """(K, 2) pairs that are two people of one hour: known negatives; where hardly two were ever in
    one camera at once, those too who came one well after the other."""
    known = known_negative_pairs(held_out)
    return known if len(known) >= _MIN_NEGATIVES else told_apart_pairs(held_out)


def _separations(found: list[HeldOut], negatives: NDArray[np.int64]) -> list[Floats]:
    """Of each extractor and negative (K,): the share of best buddies, of either one, that lie
    closer; none is where embeddings are no numbers."""
    ends = np.concatenate([np.stack([f.buddies.earlier, f.buddies.later], axis=1) for f in found])
    scorers = [f.scorer for f in found if f.scorer is not None]
    if not len(ends):
        return [np.zeros(len(negatives)) for _ in found]
    # Each pair is known to one of them at least.
    log_odds = np.nanmean([_log_odds(scorer, ends) for scorer in scorers], axis=0)
    weight = 1.0 / (1.0 + np.exp(-log_odds))
    return [
        np.zeros(len(negatives))
        if f.scorer is None
        else _separation(f.scorer.gallery, ends, weight, negatives)
        for f in found
    ]


def _log_odds(scorer: PairScorer, ends: NDArray[np.int64]) -> Floats:
    """Of pairs (M, 2): (M,), NaN where their cameras' travel times are unknown."""
    first = scorer.gallery.first
    found = np.full(len(ends), np.nan)
    for number, scores in scorer.rows(np.unique(ends[:, 1] + first).tolist()):
        mine = ends[:, 1] == number - first
        other = ends[mine, 0]
        found[mine] = scores.log_appearance[other] + scores.log_time[other]
    return found


def _separation(
    gallery: Gallery, ends: NDArray[np.int64], weight: Floats, negatives: NDArray[np.int64]
) -> Floats:
    """Of each negative (K, 2) the share of pairs (M, 2), weighing (M,), that lie closer; the mean
    is the area under the curve."""
    vectors, cameras = gallery.embeddings, gallery.cameras
    x = camera_centred(vectors, cameras).directions(vectors, cameras)
    near, far = (np.linalg.norm(x[p[:, 0]] - x[p[:, 1]], axis=1) for p in (ends, negatives))
    order = np.argsort(near)
    closer = np.concatenate([[0.0], np.cumsum(weight[order])]) / weight.sum()
    return np.asarray(closer[np.searchsorted(near[order], far)])
