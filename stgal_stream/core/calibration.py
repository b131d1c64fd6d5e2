"""What the stream says about itself: alpha, sigma, travel times and how far to trust a pair.

Two ways of estimating the same things. ``calibrate_paper`` follows the paper's equations 2 to 4
with its constants. ``calibrate`` fits, per camera pair, a mixture of same-person and
different-person pairs to the 2-D histogram (distance x travel time) of all pairs of the window, by
expectation maximisation and without a label. Alpha is the one under which the ranking P_v P_t
agrees best with what the mixture holds for the same person. Both are pure functions of the gallery.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from stgal_stream.core.gallery import Gallery
from stgal_stream.core.mixture import (
    LOG_ODDS_LIMIT,
    N_DISTANCE_BINS,
    CameraPair,
    Fit,
    Floats,
    PairCounts,
    Verdict,
    fit_mixture,
)
from stgal_stream.core.pair_counts import KindCounts, WindowCounts, camera_pair, count_window
from stgal_stream.core.spread import Spread
from stgal_stream.core.time_grid import TimeGrid
from stgal_stream.core.travel_time import TravelTimeDistribution
from stgal_stream.core.view import View, centred_view
from stgal_stream.core.visual import (
    are_known_negatives,
    distances,
    threshold,
    visual_probability,
)
from stgal_stream.types import TrackerSettings

_MIN_NEGATIVES = 50
_MIN_EPSILON_S = 1.0
_N_SCORE_BINS = 4096
_SHARE_OF_ALPHA = 0.5
_BLOCK = 256


@dataclass(frozen=True)
class PairModel:
    """One camera pair: travel times counted from best buddies, and the mixture's parts.

    ``p_travel`` and ``log_time_ratio`` (log g1 / g0) are tables over the bins of the time grid,
    ``log_distance_ratio`` (log f1 / f0) over the distance bins. The log posterior odds of being
    one person are the two ratios and the log prior odds, added. A pair with too little data of its
    own may hold the parts that all such pairs have together.
    """

    verdict: Verdict
    n_buddies: int
    distribution: TravelTimeDistribution
    p_travel: Floats | None = None
    log_time_ratio: Floats | None = None
    log_distance_ratio: Floats | None = None
    log_prior_odds: float = 0.0

    @property
    def scores(self) -> bool:
        """Whether pairs of these cameras can be scored."""
        return self.verdict is Verdict.LINKED or self.log_time_ratio is not None


@dataclass(frozen=True)
class Calibration:
    """Everything the tracker needs to score a pair; one travel-time version.

    ``alpha`` is that of equation 1, ``sigma`` that of equation 3, ``epsilon_s`` that of equation 4.
    Camera pairs are unordered and sorted; a pair that is absent was never seen. ``spread`` is how
    far apart one person's looks lie, where anything is known of it.
    """

    version: str
    setting: str
    alpha: float
    sigma: float
    pairs: dict[CameraPair, PairModel] = field(default_factory=dict)
    grid: TimeGrid = field(default_factory=TimeGrid)
    distance_width: float = 1.0
    view: View = field(default_factory=View)
    epsilon_s: float = 10.0
    spread: Spread | None = None

    def _by_distance(self, model: PairModel, d: Floats) -> Floats:
        assert model.log_distance_ratio is not None
        centres = (np.arange(N_DISTANCE_BINS) + 0.5) * self.distance_width
        return np.interp(d, centres, model.log_distance_ratio)

    def log_time(self, first: str, second: str, time_s: float) -> float:
        """What a travel time says for one person: its log ratio, 0 where nothing is known."""
        model = self.pairs.get(camera_pair(first, second))
        if model is None or model.log_time_ratio is None or self.setting == "appearance":
            return 0.0
        return float(model.log_time_ratio[self.grid.bins(time_s)])

    def log_odds_table(self, first: str, second: str) -> Floats | None:
        """The log posterior odds over the bins of distance and travel time; None where nothing is
        known about the two cameras."""
        model = self.pairs.get(camera_pair(first, second))
        if model is None or model.log_distance_ratio is None or model.log_time_ratio is None:
            return None
        by_distance = model.log_distance_ratio + model.log_prior_odds
        by_distance = np.clip(by_distance, -LOG_ODDS_LIMIT, LOG_ODDS_LIMIT)
        odds = by_distance[:, None] + model.log_time_ratio[None, :]
        return np.clip(odds, -LOG_ODDS_LIMIT, LOG_ODDS_LIMIT)

    def score(
        self, camera: str, others: tuple[str, ...], index: NDArray[np.int64], d: Floats, t: Floats
    ) -> Scores:
        """Scores of one tracklet against many.

        ``others`` names cameras by index, ``index`` (N,) is each other one's camera, ``d`` (N,)
        distances, ``t`` (N,) travel times in seconds.
        """
        p_visual = visual_probability(d, self.alpha)
        p_travel = np.zeros(len(d))
        log_appearance = np.full(len(d), np.nan)
        log_time = np.zeros(len(d))
        models = {
            i: model
            for i, other in enumerate(others)
            if (model := self.pairs.get(camera_pair(camera, other))) is not None and model.scores
        }
        is_linked = np.zeros(len(others), bool)
        is_linked[list(models)] = True
        linked = np.flatnonzero(is_linked[index])
        cameras, bins = index[linked], self.grid.bins(t[linked])
        for i, model in models.items():
            mine = np.flatnonzero(cameras == i)
            rows = linked[mine]
            if model.p_travel is None or model.log_time_ratio is None:
                p_travel[rows] = model.distribution.probability(t[rows])
                continue
            odds = self._by_distance(model, d[rows]) + model.log_prior_odds
            if self.setting == "appearance":
                p_travel[rows] = 1.0
            else:
                p_travel[rows] = model.p_travel[bins[mine]]
                log_time[rows] = model.log_time_ratio[bins[mine]]
            log_appearance[rows] = np.clip(odds, -LOG_ODDS_LIMIT, LOG_ODDS_LIMIT)
        p_association = p_visual * p_travel
        return Scores(p_visual, p_travel, p_association, log_appearance, log_time, t)


@dataclass(frozen=True, slots=True)
class Scores:
    """P_v, P_t, P_a, the log odds of being one person by appearance and what the travel time adds,
    and the travel times themselves in seconds, each (N,). Log odds are NaN where nothing is known
    about the camera pair."""

    p_visual: Floats
    p_travel: Floats
    p_association: Floats
    log_appearance: Floats
    log_time: Floats
    times_s: Floats

    @property
    def log_odds(self) -> Floats:
        """The log posterior odds, from appearance and travel time."""
        return np.clip(self.log_appearance + self.log_time, -LOG_ODDS_LIMIT, LOG_ODDS_LIMIT)


def calibrate_paper(gallery: Gallery, settings: TrackerSettings, version: str) -> Calibration:
    """Equations 2 to 4 with the paper's constants: matched pairs are those of two cameras with
    P_v above the largest P_v of a known negative."""
    alpha = settings.paper_alpha
    negative_d = _distances_of(gallery, known_negatives(gallery), View())
    sigma = threshold(visual_probability(negative_d, alpha))
    found: dict[CameraPair, TravelTimeDistribution] = {}
    for pair, times in _matched_times(gallery, alpha, sigma):
        found[pair] = TravelTimeDistribution.of(times, settings.paper_epsilon_s)
    pairs = {pair: PairModel(Verdict.LINKED, seen.n, seen) for pair, seen in sorted(found.items())}
    return Calibration(version, "paper", alpha, sigma, pairs, epsilon_s=settings.paper_epsilon_s)


def _matched_times(
    gallery: Gallery, alpha: float, sigma: float
) -> Iterator[tuple[CameraPair, Floats]]:
    """The travel times of the pairs of two cameras with P_v above sigma, block by block."""
    embeddings = gallery.embeddings
    names = gallery.camera_names
    members = [np.flatnonzero((gallery.cameras == i) & gallery.known) for i in range(len(names))]
    for a in range(len(names)):
        for b in range(a + 1, len(names)):
            parts = []
            for start in range(0, len(members[a]), _BLOCK):
                rows, columns = members[a][start : start + _BLOCK], members[b]
                p_visual = visual_probability(
                    distances(embeddings[rows], embeddings[columns]), alpha
                )
                times = gallery.travel_times_s(rows, columns)
                parts.append(times[p_visual > sigma])
            matched = np.concatenate(parts) if parts else np.zeros(0)
            if len(matched):
                yield camera_pair(names[a], names[b]), matched


def calibrate(
    gallery: Gallery, settings: TrackerSettings, version: str, grid: TimeGrid | None = None
) -> Calibration:
    """Alpha, sigma, P_t and the log odds of the window, estimated from the window alone."""
    grid = grid or TimeGrid()
    newest = gallery.newest(settings.calibration_tracklets)
    view = centred_view(gallery.embeddings[newest], gallery.cameras[newest])
    counts = count_window(gallery, newest, grid, view)
    negatives = known_negatives(gallery, first=int(newest[0]) if len(newest) else len(gallery))
    reach = _negative_reach(_distances_of(gallery, negatives, view))
    across = _fit(counts.across, counts.width, reach)
    within = _fit(counts.within, counts.width, reach)
    linked = [f for f in across if f.same is not None] or [f for f in within if f.same is not None]
    epsilon_s = _epsilon_s(linked, grid)
    alpha = _alpha(linked, counts, epsilon_s, grid)
    pairs = [
        *_pair_models(counts.across, across, epsilon_s, grid),
        *_pair_models(counts.within, within, epsilon_s, grid),
    ]
    sigma = float(visual_probability(reach, alpha)) if np.isfinite(reach) else 1.0
    return Calibration(
        version,
        settings.setting,
        alpha,
        sigma,
        dict(sorted(pairs)),
        grid,
        counts.width,
        view,
        epsilon_s,
        _spread(linked, counts.width),
    )


def _distances_of(gallery: Gallery, pairs: list[tuple[int, int]], view: View) -> Floats:
    """Distances (M,) of pairs of rows, as ``view`` sees them."""
    rows = np.array(pairs, np.int64).reshape(-1, 2)
    one, other = (
        view.directions(gallery.embeddings[side], gallery.cameras[side]) for side in rows.T
    )
    apart = one - other
    return np.asarray(np.linalg.norm(apart, axis=1), dtype=np.float64)


def _fit(kind: KindCounts, width: float, reach: float) -> list[Fit]:
    """The fits of the camera pairs counted apart and, last, of those counted together."""
    together = [] if kind.pooled is None else [kind.pooled]
    return fit_mixture(kind.apart + together, width, reach)


def _spread(linked: list[Fit], width: float) -> Spread | None:
    """How far apart one person's looks lie, by what the mixture holds for one person."""
    if not linked:
        return None
    same = np.sum([fit.same.sum(axis=1) for fit in linked if fit.same is not None], axis=0)
    total = np.sum([fit.total.sum(axis=1) for fit in linked if fit.total is not None], axis=0)
    return Spread.of(np.arange(N_DISTANCE_BINS + 1.0) * width, same, total)


def _epsilon_s(linked: list[Fit], grid: TimeGrid) -> float:
    """Epsilon of equation 4: half a bin of the time grid at the median travel time, so that it is
    short where people take seconds and long where they take minutes."""
    if not linked:
        return _MIN_EPSILON_S
    same = np.sum([fit.same.sum() * fit.g1 for fit in linked if fit.same is not None], axis=0)
    shares = np.cumsum(same) / same.sum()
    median_s = float(grid.centres_s()[np.searchsorted(shares, 0.5)])
    return max(_MIN_EPSILON_S, 0.5 * (grid.first_s + grid.ratio * median_s))


def _alpha(linked: list[Fit], counts: WindowCounts, epsilon_s: float, grid: TimeGrid) -> float:
    """The alpha under which the window's pairs, ranked by P_v P_t, have the highest average
    precision, each counted as one person with its posterior probability.

    The posterior knows more than a ranking needs (a slope that changes with distance, priors), and
    P_t is no likelihood ratio; so this is asked directly and not read off a slope. What comes out
    is halved: the posterior takes the many pairs of two visits for independent and is too sure of
    distances (``tools/measure_alpha.py``: the best share was 0.35 to 0.7 at every quality tried).
    Without a linked camera pair it is one over the typical spread of distances.
    """
    centres = (np.arange(N_DISTANCE_BINS) + 0.5) * counts.width
    if not linked:
        return 1.0 / counts.spread
    log_travel = np.log(
        np.maximum(grid.share_within(np.stack([f.g1 for f in linked]), epsilon_s), 1e-12)
    )
    same = np.stack([f.same for f in linked if f.same is not None])
    total = np.stack([f.total for f in linked if f.total is not None])
    cells = np.flatnonzero(total.ravel() > 0)
    d = np.broadcast_to(centres[None, :, None], total.shape).ravel()[cells]
    t = np.broadcast_to(log_travel[:, None, :], total.shape).ravel()[cells]
    weights = same.ravel()[cells], total.ravel()[cells]
    found = 1.0
    for span, n in ((50.0, 15), (1.6, 9)):
        tried = found * np.geomspace(1 / span, span, n)
        marks = [_average_precision(t - a / counts.spread * d, *weights) for a in tried]
        found = float(tried[int(np.argmax(marks))])
    return _SHARE_OF_ALPHA * found / counts.spread


def _average_precision(scores: Floats, same: Floats, total: Floats) -> float:
    """Average precision of a ranking of cells that hold ``same`` right ones among ``total``."""
    low, high = float(scores.min()), float(scores.max())
    bins = ((high - scores) * ((_N_SCORE_BINS - 1) / max(high - low, 1e-12))).astype(np.int64)
    right = np.bincount(bins, same, minlength=_N_SCORE_BINS)
    seen = np.maximum(np.cumsum(np.bincount(bins, total, minlength=_N_SCORE_BINS)), 1e-12)
    return float((right * np.cumsum(right) / seen).sum() / max(right.sum(), 1e-12))


def _pair_models(
    kind: KindCounts, fits: list[Fit], epsilon_s: float, grid: TimeGrid
) -> Iterator[tuple[CameraPair, PairModel]]:
    """A model of each camera pair; what all with too little data have together speaks for each."""
    for part, fit in zip(kind.apart, fits, strict=False):
        yield part.pair, _pair_model(part, fit, epsilon_s, grid)
    if kind.pooled is None:
        return
    pooled = _pair_model(kind.pooled, fits[-1], epsilon_s, grid)
    for pair, times in kind.few.items():
        verdict, seen = Verdict.TOO_LITTLE_DATA, _distribution(times, grid)
        yield pair, replace(pooled, verdict=verdict, n_buddies=len(times), distribution=seen)


def _distribution(times_s: Floats, grid: TimeGrid) -> TravelTimeDistribution:
    return TravelTimeDistribution.of(times_s, grid.first_s * 2, grid.ratio * 2)


def known_negatives(gallery: Gallery, first: int = 0) -> list[tuple[int, int]]:
    """Rows (i, j) of all pairs that were in one camera at one time (equation 2) and can be
    compared."""
    found = []
    tracklets, known = gallery.tracklets[first:], gallery.known[first:]
    by_camera: dict[str, list[int]] = {}
    for row in np.flatnonzero(known).tolist():
        by_camera.setdefault(tracklets[row].camera, []).append(row)
    for rows in by_camera.values():
        rows.sort(key=lambda r: tracklets[r].start_s)
        active: list[int] = []
        for row in rows:
            active = [r for r in active if tracklets[r].end_s >= tracklets[row].start_s]
            for other in active:
                if are_known_negatives(tracklets[other], tracklets[row]):
                    found.append((first + other, first + row))
            active.append(row)
    return found


def _negative_reach(negative_d: Floats) -> float:
    """The distance under which hardly any known negative can lie; infinite where none is known.

    A camera that boxes one person twice puts same-person pairs among its known negatives, all of
    them close. So the spread is read off the far half and mirrored onto the near one.
    """
    if len(negative_d) < _MIN_NEGATIVES:
        return float("inf")
    middle, far = np.quantile(negative_d, (0.5, 0.75))
    return float(max(0.0, middle - 3.0 * (far - middle) / 0.6745))


def _pair_model(part: PairCounts, fit: Fit, epsilon_s: float, grid: TimeGrid) -> PairModel:
    seen = _distribution(part.buddy_times, grid)
    if fit.logit is None or fit.same is None:
        return PairModel(fit.verdict, len(part.buddy_times), seen)
    prior = float(fit.same.sum() / part.histogram.sum())
    log_prior = float(np.log(prior / (1 - prior)))
    return PairModel(
        verdict=fit.verdict,
        n_buddies=len(part.buddy_times),
        distribution=seen,
        p_travel=grid.share_within(fit.g1, epsilon_s),
        log_time_ratio=np.log(fit.g1 / fit.g0),
        log_distance_ratio=fit.logit - log_prior,
        log_prior_odds=log_prior,
    )
