"""Whether a candidate may take over, judged without labels on times that training did not see.

Consistency: pairs that are each other's nearest by appearance alone, at held-out times, are scored
by their travel times alone, under densities that were learned before those times. Appearance takes
no part in the score, so a candidate cannot please itself: a better extractor finds more pairs whose
times make sense. Both extractors see the same sightings, so the gain is taken sighting by sighting:
what both find cancels, and so does the luck of the held-out times. Separation: how often a held-out
pseudo-pair lies closer than a known negative.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgal_stream.core.calibration import Calibration
from stgal_stream.core.pair_counts import camera_pair
from stgal_stream.core.travel_time import travel_times_s
from stgal_stream.core.view import centred_view
from stgal_stream.core.visual import distances
from stgal_stream.retraining.batches import gallery_of, known_negative_pairs
from stgal_stream.retraining.pseudo_pairs import PseudoPair, Sighting

_MIN_BUDDIES = 50
_DRAWS = 1000
_MARGIN = 0.01


@dataclass(frozen=True, slots=True)
class Judgement:
    """One extractor at held-out times: the log time ratios of its best buddies added up, for each
    sighting; how many those are; the separation (0.5 is chance; None without a known negative or a
    pair)."""

    consistency: float
    n_buddies: int
    separation: float | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's answer and why. ``gain_low`` is the 5 % quantile of the gain in consistency over
    bootstrap draws of the sightings."""

    passed: bool
    reason: str
    baseline: Judgement
    candidate: Judgement
    gain_low: float

    def as_json(self) -> dict[str, Any]:
        """As a release keeps it."""
        return asdict(self)


def judge(
    sightings: list[Sighting],
    pairs: list[PseudoPair],
    baseline: NDArray[np.float32],
    candidate: NDArray[np.float32],
    travel_times: Calibration,
) -> Verdict:
    """Compares embeddings (N, D) of held-out sightings; ``pairs`` are theirs, ``travel_times`` what
    the stream had learned before."""
    found = [_buddies(sightings, x, travel_times) for x in (baseline, candidate)]
    one, other = (
        Judgement(float(evidence.mean()), n, _separation(sightings, pairs, x))
        for (evidence, n), x in zip(found, (baseline, candidate), strict=True)
    )
    rng = np.random.default_rng(0)
    gain = found[1][0] - found[0][0]
    draws = [rng.choice(gain, len(gain)).mean() for _ in range(_DRAWS)]
    low = float(np.quantile(draws, 0.05))
    reason = _reason(one, other, low)
    return Verdict(reason == "", reason or "better at held-out times", one, other, low)


def _reason(baseline: Judgement, candidate: Judgement, gain_low: float) -> str:
    """Why not; empty if nothing speaks against it."""
    if min(baseline.n_buddies, candidate.n_buddies) < _MIN_BUDDIES:
        n = min(baseline.n_buddies, candidate.n_buddies)
        return f"{n} best buddies with known travel times at held-out times, {_MIN_BUDDIES} needed"
    if gain_low <= 0:
        return "its best buddies' travel times make no more sense than the baseline's"
    before, now = baseline.separation, candidate.separation
    if before is not None and now is not None and now < before - _MARGIN:
        return "it separates known negatives worse than the baseline"
    return ""


def _buddies(
    sightings: list[Sighting], embeddings: NDArray[np.float32], travel_times: Calibration
) -> tuple[NDArray[np.float64], int]:
    """Log time ratios of best buddies across cameras, where travel times are known, added up for
    the later sighting of each (N,), and how many there are."""
    evidence, n = np.zeros(len(sightings)), 0
    if not np.isfinite(embeddings).all():
        return evidence, n
    gallery = gallery_of(sightings, embeddings)
    cameras, names = gallery.cameras, gallery.camera_names
    directions = centred_view(embeddings, cameras).directions(embeddings, cameras)
    for a, b in combinations(range(len(names)), 2):
        model = travel_times.pairs.get(camera_pair(names[a], names[b]))
        if model is None or model.log_time_ratio is None:
            continue
        one, other = np.flatnonzero(cameras == a), np.flatnonzero(cameras == b)
        d = distances(directions[one], directions[other])
        there, back = d.argmin(axis=1), d.argmin(axis=0)
        mutual = np.flatnonzero(back[there] == np.arange(len(one)))
        t = travel_times_s(
            gallery.starts_s[one], gallery.ends_s[one],
            gallery.starts_s[other], gallery.ends_s[other],
        )[mutual, there[mutual]]  # fmt: skip
        ratios = model.log_time_ratio[travel_times.grid.bins(t)]
        np.add.at(evidence, np.maximum(one[mutual], other[there[mutual]]), ratios)
        n += len(mutual)
    return evidence, n


def _separation(
    sightings: list[Sighting], pairs: list[PseudoPair], embeddings: NDArray[np.float32]
) -> float | None:
    negatives = known_negative_pairs(sightings)
    positives = np.array([(p.first, p.second) for p in pairs], np.int64).reshape(-1, 2)
    if not len(negatives) or not len(positives) or not np.isfinite(embeddings).all():
        return None
    cameras = gallery_of(sightings, embeddings).cameras
    x = centred_view(embeddings, cameras).directions(embeddings, cameras)
    near, far = (np.linalg.norm(x[p[:, 0]] - x[p[:, 1]], axis=1) for p in (positives, negatives))
    return float(np.searchsorted(np.sort(near), far).mean() / len(near))
