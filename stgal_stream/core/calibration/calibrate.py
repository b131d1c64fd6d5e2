"""What the stream says about itself: alpha, sigma, epsilon, travel times, how far to trust a pair.

For each camera pair, a mixture of same-person and different-person pairs is fitted to the histogram
(distance x travel time) of all pairs of the window. Everything else is read off the fits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from stgal_stream.core.calibration.alpha import choose_alpha
from stgal_stream.core.calibration.link_test import LinkStatus
from stgal_stream.core.calibration.mixture import Fit, fit_mixture
from stgal_stream.core.calibration.model import Calibration, PairModel
from stgal_stream.core.calibration.pair_histogram import (
    N_DISTANCE_BINS,
    HistogramGroup,
    PairHistogram,
    count_pairs,
)
from stgal_stream.core.calibration.time_grid import TimeGrid
from stgal_stream.core.calibration.travel_time_distribution import TravelTimeDistribution
from stgal_stream.core.calibration.within_person import WithinPersonScatter
from stgal_stream.core.gallery.gallery import Gallery
from stgal_stream.core.gallery.known_negatives import known_negatives, negative_distances
from stgal_stream.core.gallery.normalisation import camera_centred
from stgal_stream.core.measures.distance import visual_probability
from stgal_stream.settings import TrackerSettings
from stgal_stream.types import CameraPair, Floats

_MIN_NEGATIVES = 50  # fewer say nothing about the far end of their distances
_MIN_EPSILON_S = 1.0  # people's times of passing a door are known no better
_HARDLY_ANY_SDS = 3.0  # below the median of known negatives lies 1 in 700 of them


def calibrate(
    gallery: Gallery, settings: TrackerSettings, version: str, grid: TimeGrid | None = None
) -> Calibration:
    """Alpha, sigma, P_t and the log odds, estimated from the window alone."""
    grid = grid or TimeGrid()
    newest = gallery.newest(settings.calibration_tracklets)
    normalisation = camera_centred(gallery.embeddings[newest], gallery.cameras[newest])
    counts = count_pairs(gallery, newest, grid, normalisation)
    negatives = known_negatives(gallery, first=int(newest[0]) if len(newest) else len(gallery))
    match_distance = _match_distance(negative_distances(gallery, negatives, normalisation))
    across = fit_mixture(counts.across.all, match_distance)
    within = fit_mixture(counts.within.all, match_distance)
    linked = [f for f in across if f.same is not None] or [f for f in within if f.same is not None]
    epsilon_s = _epsilon_s(linked, grid)
    alpha = choose_alpha(linked, counts, epsilon_s, grid)
    pairs = [
        *_pair_models(counts.across, across, epsilon_s, grid),
        *_pair_models(counts.within, within, epsilon_s, grid),
    ]
    is_known = np.isfinite(match_distance)
    return Calibration(
        version,
        settings.method,
        alpha,
        float(visual_probability(match_distance, alpha)) if is_known else 1.0,
        dict(sorted(pairs)),
        grid,
        counts.width,
        normalisation,
        epsilon_s,
        _scatter(linked, counts.width),
    )


def _match_distance(negatives: Floats) -> float:
    """The distance under which hardly any known negative lies, from distances (M,) of known
    negatives; infinite where there are too few.

    A camera that boxes one person twice puts same-person pairs among its known negatives, all of
    them close. So the spread is read off the far half and mirrored onto the near one.
    """
    if len(negatives) < _MIN_NEGATIVES:
        return float("inf")
    middle, far = np.quantile(negatives, (0.5, 0.75))
    return float(max(0.0, middle - _HARDLY_ANY_SDS * (far - middle) / 0.6745))


def _scatter(linked: list[Fit], width: float) -> WithinPersonScatter | None:
    """How far apart one person's episodes lie, by what the mixture takes for one person."""
    if not linked:
        return None
    same = np.sum([fit.same.sum(axis=1) for fit in linked if fit.same is not None], axis=0)
    total = np.sum([fit.total.sum(axis=1) for fit in linked if fit.total is not None], axis=0)
    return WithinPersonScatter.of(np.arange(N_DISTANCE_BINS + 1.0) * width, same, total)


def _epsilon_s(linked: list[Fit], grid: TimeGrid) -> float:
    """Epsilon of equation 4: half a bin of the time grid at the median travel time, so that it is
    short where people take seconds and long where they take minutes."""
    if not linked:
        return _MIN_EPSILON_S
    same = np.sum([fit.same.sum() * fit.g1 for fit in linked if fit.same is not None], axis=0)
    shares = np.cumsum(same) / same.sum()
    median_s = float(grid.centres_s()[np.searchsorted(shares, 0.5)])
    return max(_MIN_EPSILON_S, 0.5 * (grid.first_s + grid.ratio * median_s))


def _pair_models(
    group: HistogramGroup, fits: list[Fit], epsilon_s: float, grid: TimeGrid
) -> Iterator[tuple[CameraPair, PairModel]]:
    """A model of each camera pair; what all with too little data have together speaks for each."""
    for part, fit in zip(group.apart, fits, strict=False):
        yield part.pair, _pair_model(part, fit, epsilon_s, grid)
    if group.pooled is None:
        return
    pooled = _pair_model(group.pooled, fits[-1], epsilon_s, grid)
    for pair, times in group.few.items():
        link, seen = LinkStatus.TOO_LITTLE_DATA, _distribution(times, grid)
        yield pair, replace(pooled, link=link, n_buddies=len(times), distribution=seen)


def _pair_model(part: PairHistogram, fit: Fit, epsilon_s: float, grid: TimeGrid) -> PairModel:
    seen = _distribution(part.buddy_times, grid)
    if fit.logit is None or fit.same is None:
        return PairModel(fit.link, len(part.buddy_times), seen)
    prior = float(fit.same.sum() / part.histogram.sum())
    log_prior = float(np.log(prior / (1 - prior)))
    return PairModel(
        link=fit.link,
        n_buddies=len(part.buddy_times),
        distribution=seen,
        p_travel=grid.share_within(fit.g1, epsilon_s),
        log_time_ratio=np.log(fit.g1 / fit.g0),
        log_distance_ratio=fit.logit - log_prior,
        log_prior_odds=log_prior,
    )


def _distribution(times_s: Floats, grid: TimeGrid) -> TravelTimeDistribution:
    return TravelTimeDistribution.of(times_s, grid.first_s * 2, grid.ratio * 2)
