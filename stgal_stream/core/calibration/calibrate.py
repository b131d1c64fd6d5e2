"""What the stream says about itself: alpha, sigma, travel times, how far to trust a pair.

For each camera pair, a mixture of same-person and different-person pairs is fitted to the histogram
(distance x travel time) of all pairs of the window. Everything else is read off the fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from stgal_stream.core.calibration.alpha import choose_alpha
from stgal_stream.core.calibration.link_test import LinkStatus
from stgal_stream.core.calibration.mixture import Mixture, fit_mixture
from stgal_stream.core.calibration.model import Calibration, PairModel
from stgal_stream.core.calibration.pair_histogram import (
    N_DISTANCE_BINS,
    HistogramGroup,
    count_pairs,
)
from stgal_stream.core.calibration.shared_light import shared_light
from stgal_stream.core.calibration.time_grid import TimeGrid
from stgal_stream.core.calibration.travel_time_distribution import TravelTimeDistribution
from stgal_stream.core.calibration.within_person import WithinPersonScatter
from stgal_stream.core.gallery.gallery import Gallery
from stgal_stream.core.gallery.known_negatives import known_negatives, negative_distances
from stgal_stream.core.gallery.normalisation import camera_centred
from stgal_stream.core.measures.distance import visual_probability
from stgal_stream.core.measures.log_odds import probability
from stgal_stream.settings import TrackerSettings
from stgal_stream.types import CameraPair, Floats, Integers, Tracklet

_MIN_NEGATIVES = 50  # fewer say nothing about the far end of their distances
# What light leaves after it was taken out makes neighbours in time depend on each other: three
# of them are one fact.
_TRUST_IN_LIGHT = 1 / 3
_HARDLY_ANY_SDS = 3.0  # below the median of known negatives lies 1 in 700 of them


def calibrate(
    gallery: Gallery, settings: TrackerSettings, version: str, grid: TimeGrid | None = None
) -> Calibration:
    """Alpha, sigma, P_t and the log odds, estimated from the window alone."""
    grid = grid or TimeGrid()
    newest = independent_sightings(
        gallery, gallery.newest(settings.calibration_tracklets), settings
    )
    normalisation = camera_centred(gallery.embeddings[newest], gallery.cameras[newest])
    negatives = known_negatives(gallery, first=int(newest[0]) if len(newest) else len(gallery))
    apart = negative_distances(gallery, negatives, normalisation)
    light = shared_light(gallery, newest, normalisation, grid, negatives, apart)
    counts = count_pairs(gallery, newest, grid, normalisation, light)
    match_distance = _match_distance(apart)
    trust = 1.0 if light is None else _TRUST_IN_LIGHT
    fit = fit_mixture(counts.across.all, counts.within.all, grid, trust=trust)
    fitted = fit if fit is not None and any(fit.is_fitted) else None
    alpha = choose_alpha(fitted, counts)
    pairs = [
        *_pair_models(counts.across, fit, 0, grid),
        *_pair_models(counts.within, fit, len(counts.across.all), grid),
    ]
    rest = _rest(counts.across, fit, 0, grid)
    rest_within = _rest(counts.within, fit, len(counts.across.all), grid)
    names = gallery.camera_names
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
        scatter=_scatter(fitted, counts.width),
        light=light,
        rest=(rest, rest_within),
        cameras=tuple(sorted(names[i] for i in np.unique(gallery.cameras[newest]))),
    )


def independent_sightings(gallery: Gallery, rows: Integers, settings: TrackerSettings) -> Integers:
    """Those of some rows (N,) that are no repetition of another: of single boxes without a track
    that follow each other in a camera, one every ``box_track_gap_s`` seconds.

    Ten boxes a second of one person are one sighting, not fifty; which box stays says nothing about
    who is in it.
    """
    kept = []
    last_s: dict[str, float] = {}
    for row in rows.tolist():
        tracklet = gallery[row + gallery.first]
        if tracklet.track_id is None and len(tracklet.detection_ids) == 1:
            before_s = last_s.get(tracklet.camera)
            if before_s is not None and tracklet.start_s - before_s < settings.box_track_gap_s:
                continue
            last_s[tracklet.camera] = tracklet.start_s
        kept.append(row)
    return np.array(kept, np.int64)


def count_sightings(tracklets: Iterable[Tracklet]) -> int:
    """How many sightings these tracklets of one step are: single boxes without a track, of one
    camera, are one."""
    found = set()
    for tracklet in tracklets:
        is_single = tracklet.track_id is None and len(tracklet.detection_ids) == 1
        found.add((tracklet.camera, None if is_single else tracklet.number))
    return len(found)


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


def _scatter(fitted: Mixture | None, width: float) -> WithinPersonScatter | None:
    """How far apart one person's episodes lie, by what the mixture takes for one person."""
    if fitted is None:
        return None
    same, total = fitted.by_distance(N_DISTANCE_BINS, int(not fitted.is_fitted[0]))
    within = fitted.by_distance(N_DISTANCE_BINS, 1)[0]
    return WithinPersonScatter.of(np.arange(N_DISTANCE_BINS + 1.0) * width, same, total, within)


def _pair_models(
    group: HistogramGroup, fit: Mixture | None, start: int, grid: TimeGrid
) -> Iterator[tuple[CameraPair, PairModel]]:
    """A model of each camera pair, the first of which is the fit's number ``start``; what all with
    too little data have together speaks for each."""
    if fit is None:
        return
    for k, part in enumerate(group.apart, start):
        yield part.pair, _pair_model(fit, k, part.buddy_times, grid)
    pooled = _pooled(group, fit, start, grid)
    if pooled is None:
        return
    for pair, times in group.few.items():
        link, seen = LinkStatus.TOO_LITTLE_DATA, _distribution(times, grid)
        yield pair, replace(pooled, link=link, n_buddies=len(times), distribution=seen)


def _rest(
    group: HistogramGroup, fit: Mixture | None, start: int, grid: TimeGrid
) -> PairModel | None:
    """The model of camera pairs that were not looked at one by one, if there are any."""
    if fit is None or group.is_whole:
        return None
    pooled = _pooled(group, fit, start, grid)
    return None if pooled is None else replace(pooled, link=LinkStatus.TOO_LITTLE_DATA)


def _pooled(group: HistogramGroup, fit: Mixture, start: int, grid: TimeGrid) -> PairModel | None:
    """The model of all camera pairs with too little data of their own."""
    if group.pooled is None:
        return None
    times_s = group.pooled.buddy_times
    return _pair_model(fit, start + len(group.apart), times_s, grid)


def _pair_model(fit: Mixture, k: int, times_s: Floats, grid: TimeGrid) -> PairModel:
    seen = _distribution(times_s, grid)
    kind = fit.kind(k)
    if not fit.is_fitted[kind]:
        return PairModel(fit.links[k], len(times_s), seen)
    log_prior = float(np.log(fit.prior[k] / (1 - fit.prior[k])))
    log_time_ratio = np.log(fit.g1[k] / fit.g0[k])
    return PairModel(
        link=fit.links[k],
        n_buddies=len(times_s),
        distribution=seen,
        p_travel=probability(log_prior + log_time_ratio),
        g1=fit.g1[k],
        log_time_ratio=log_time_ratio,
        log_distance_ratio=fit.distance_ratio[kind],
        log_prior_odds=log_prior,
    )


def _distribution(times_s: Floats, grid: TimeGrid) -> TravelTimeDistribution:
    return TravelTimeDistribution.of(times_s, grid.first_s * 2, grid.ratio * 2)
