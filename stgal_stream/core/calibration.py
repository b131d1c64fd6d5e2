"""What the stream says about itself: alpha, sigma, travel times and how far to trust a pair.

Two ways of estimating the same things. ``calibrate_paper`` follows the paper's equations 2 to 4
with its constants. ``calibrate`` fits, per camera pair, a mixture of same-person and
different-person pairs to the 2-D histogram (distance x travel time) of all pairs of the window, by
expectation maximisation and without a label: distance and travel time are independent given which
of the two it is, f1 = f0 tilted by exp(-alpha d), the travel times of one person a smooth free
density. Both are pure functions of the gallery.
"""

from __future__ import annotations

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
from stgal_stream.core.time_grid import TimeGrid
from stgal_stream.core.travel_time import TravelTimeDistribution, travel_times_s
from stgal_stream.core.visual import (
    are_known_negatives,
    distances,
    threshold,
    visual_probability,
)
from stgal_stream.types import TrackerSettings

_MIN_NEGATIVES = 50
_DUPLICATE_STEPS = 30


@dataclass(frozen=True)
class PairModel:
    """One camera pair: travel times counted from best buddies, and the mixture's parts.

    ``p_travel`` and ``log_time_ratio`` (log g1 / g0) are tables over the bins of the time grid,
    ``log_distance_ratio`` (log f1 / f0) over the distance bins. The log posterior odds of being
    one person are the two ratios and the log prior odds, added.
    """

    verdict: Verdict
    n_buddies: int
    distribution: TravelTimeDistribution
    p_travel: Floats | None = None
    log_time_ratio: Floats | None = None
    log_distance_ratio: Floats | None = None
    log_prior_odds: float = 0.0


@dataclass(frozen=True)
class Calibration:
    """Everything the tracker needs to score a pair; one travel-time version.

    ``alpha`` is that of equation 1, ``sigma`` that of equation 3. Camera pairs are unordered and
    sorted; a pair that is absent was never seen.
    """

    version: str
    setting: str
    alpha: float
    sigma: float
    pairs: dict[CameraPair, PairModel] = field(default_factory=dict)
    grid: TimeGrid = field(default_factory=TimeGrid)
    distance_width: float = 1.0
    log_duplicate_odds: float = -np.inf

    def duplicate_log_odds(self, camera: str, d: Floats) -> Floats:
        """Log odds that boxes of one camera and one time, at distances ``d`` (N,), are one person
        boxed twice; minus infinity where nothing says that the camera does such a thing."""
        model = self.pairs.get((camera, camera))
        if model is None or model.log_distance_ratio is None:
            return np.full(len(d), -np.inf)
        return self._by_distance(model, d) + self.log_duplicate_odds

    def _by_distance(self, model: PairModel, d: Floats) -> Floats:
        assert model.log_distance_ratio is not None
        centres = (np.arange(N_DISTANCE_BINS) + 0.5) * self.distance_width
        return np.interp(d, centres, model.log_distance_ratio)

    def score(
        self, camera: str, others: tuple[str, ...], index: NDArray[np.int64], d: Floats, t: Floats
    ) -> Scores:
        """Scores of one tracklet against many.

        ``others`` names cameras by index, ``index`` (N,) is each other one's camera, ``d`` (N,)
        distances, ``t`` (N,) travel times in seconds.
        """
        p_visual = visual_probability(d, self.alpha)
        p_travel = np.zeros(len(d))
        log_odds = np.full(len(d), np.nan)
        models = {
            i: model
            for i, other in enumerate(others)
            if (model := self.pairs.get(camera_pair(camera, other))) is not None
            and model.verdict is Verdict.LINKED
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
                odds = odds + model.log_time_ratio[bins[mine]]
            log_odds[rows] = np.clip(odds, -LOG_ODDS_LIMIT, LOG_ODDS_LIMIT)
        return Scores(p_visual, p_travel, p_visual * p_travel, log_odds)


@dataclass(frozen=True, slots=True)
class Scores:
    """P_v, P_t, P_a and the log posterior odds of being one person, each (N,). The log odds are
    NaN where nothing is known about the camera pair."""

    p_visual: Floats
    p_travel: Floats
    p_association: Floats
    log_odds: Floats


def camera_pair(first: str, second: str) -> CameraPair:
    """The unordered pair."""
    return (first, second) if first <= second else (second, first)


def calibrate_paper(gallery: Gallery, settings: TrackerSettings, version: str) -> Calibration:
    """Equations 2 to 4 with the paper's constants: matched pairs are those of two cameras with
    P_v above the largest P_v of a known negative."""
    alpha = settings.paper_alpha
    distance = distances(gallery.embeddings, gallery.embeddings)
    p_visual = visual_probability(distance, alpha)
    sigma = threshold([p_visual[i, j] for i, j in known_negatives(gallery)])
    cameras, names = gallery.cameras, gallery.camera_names
    times = travel_times_s(gallery.starts_s, gallery.ends_s, gallery.starts_s, gallery.ends_s)
    rows, columns = np.nonzero(np.triu(p_visual > sigma, 1))
    found: dict[CameraPair, TravelTimeDistribution] = {}
    for i, j in zip(rows.tolist(), columns.tolist(), strict=True):
        if cameras[i] != cameras[j]:
            pair = camera_pair(names[cameras[i]], names[cameras[j]])
            seen = found.setdefault(pair, TravelTimeDistribution(settings.paper_epsilon_s))
            seen.update(float(times[i, j]))
    pairs = {pair: PairModel(Verdict.LINKED, seen.n, seen) for pair, seen in sorted(found.items())}
    return Calibration(version, "paper", alpha, sigma, pairs)


def calibrate(
    gallery: Gallery, settings: TrackerSettings, version: str, grid: TimeGrid | None = None
) -> Calibration:
    """Alpha, sigma, P_t and the log odds of the window, estimated from the window alone."""
    grid = grid or TimeGrid()
    newest = slice(max(0, len(gallery) - settings.calibration_tracklets), None)
    counts, width = _count(gallery, newest, grid)
    negatives = known_negatives(gallery, first=newest.start)
    embeddings, tracklets = gallery.embeddings, gallery.tracklets
    negative_d = np.array([np.linalg.norm(embeddings[i] - embeddings[j]) for i, j in negatives])
    reach = _negative_reach(negative_d)
    alpha, fits = fit_mixture(counts, width, reach)
    pairs = {}
    for part, fit in zip(counts, fits, strict=True):
        pairs[part.pair] = _pair_model(part, fit, grid)
    sigma = float(visual_probability(reach, alpha)) if np.isfinite(reach) else 1.0
    found = Calibration(version, settings.setting, alpha, sigma, pairs, grid, width)
    loose = [
        float(found._by_distance(pairs[camera, camera], d))
        for (i, j), d in zip(negatives, negative_d, strict=True)
        if tracklets[i].track_id is None and tracklets[j].track_id is None
        for camera in [tracklets[i].camera]
    ]
    return replace(found, log_duplicate_odds=_duplicate_odds(np.array(loose)))


def _duplicate_odds(log_ratios: Floats) -> float:
    """Log prior odds that two boxes without a track, in one camera at one time, are one person.

    The share of duplicates that explains the distances of all such pairs best (EM with f0 and f1
    known). A camera that boxes everybody once has a share near zero: its known negatives stand.
    """
    if len(log_ratios) < _MIN_NEGATIVES:
        return -np.inf
    ratio = np.exp(log_ratios)
    share = 0.1
    for _ in range(_DUPLICATE_STEPS):
        share = float(np.mean(share * ratio / (share * ratio + 1 - share)))
    return float(np.log(share / (1 - share))) if 0.01 < share < 1 else -np.inf


def known_negatives(gallery: Gallery, first: int = 0) -> list[tuple[int, int]]:
    """Rows (i, j) of all pairs that were in one camera at one time (equation 2)."""
    found = []
    tracklets = gallery.tracklets[first:]
    by_camera: dict[str, list[int]] = {}
    for row, tracklet in enumerate(tracklets):
        by_camera.setdefault(tracklet.camera, []).append(row)
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


def _count(gallery: Gallery, rows: slice, grid: TimeGrid) -> tuple[list[PairCounts], float]:
    """Histograms of all pairs, camera pair by camera pair, and the width of a distance bin."""
    embeddings, cameras = gallery.embeddings[rows], gallery.cameras[rows]
    starts, ends, names = gallery.starts_s[rows], gallery.ends_s[rows], gallery.camera_names
    if not len(embeddings):
        return [], 1.0
    sample = embeddings[:: max(1, len(embeddings) // 256)]
    width = float(distances(sample, sample).max()) * 1.05 / N_DISTANCE_BINS or 1.0
    members = {i: np.flatnonzero(cameras == i) for i in range(len(names))}
    found = []
    for a in range(len(names)):
        for b in range(a, len(names)):
            qs, gs = members[a], members[b]
            if len(qs) == 0 or len(gs) == 0:
                continue
            d = distances(embeddings[qs], embeddings[gs])
            t = travel_times_s(starts[qs], ends[qs], starts[gs], ends[gs])
            # In one camera at one time they are two people; and each pair counts once.
            usable = (t > 0) if a == b else np.ones(d.shape, bool)
            once = usable & (np.triu(np.ones(d.shape, bool), 1) if a == b else True)
            d_bin = np.minimum((d[once] / width).astype(np.int64), N_DISTANCE_BINS - 1)
            flat = d_bin * grid.n + grid.bins(t[once])
            table = np.bincount(flat, minlength=N_DISTANCE_BINS * grid.n).astype(np.float64)
            i, j = _mutual_nearest(d, usable, symmetric=a == b)
            found.append(
                PairCounts(
                    camera_pair(names[a], names[b]),
                    table.reshape(N_DISTANCE_BINS, grid.n),
                    d[i, j].astype(np.float64),
                    t[i, j],
                )
            )
    return sorted(found, key=lambda c: c.pair), width


def _mutual_nearest(
    d: NDArray[np.float32], usable: NDArray[np.bool_], *, symmetric: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Best buddies by P_v alone: the pairs that are each other's nearest."""
    masked = np.where(usable, d, np.inf)
    nearest, back = masked.argmin(axis=1), masked.argmin(axis=0)
    i = np.arange(len(d))
    mutual = (back[nearest] == i) & np.isfinite(masked[i, nearest])
    if symmetric:
        mutual &= i < nearest
    return i[mutual], nearest[mutual]


def _pair_model(part: PairCounts, fit: Fit, grid: TimeGrid) -> PairModel:
    seen = TravelTimeDistribution(epsilon_s=grid.first_s * 2, relative=grid.ratio * 2)
    for time in part.buddy_times.tolist():
        seen.update(time)
    log_prior = float(np.log(fit.prior / (1 - fit.prior)))
    return PairModel(
        verdict=fit.verdict,
        n_buddies=len(part.buddy_times),
        distribution=seen,
        p_travel=fit.g1 / fit.g1.max(),
        log_time_ratio=np.log(fit.g1 / fit.g0),
        log_distance_ratio=fit.log_distance_ratio,
        log_prior_odds=log_prior,
    )
