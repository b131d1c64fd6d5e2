"""The upper bound: average linkage on the true log odds of perfect visits.

It is given what the tracker has to find out: which images are one visit, whose they are, how far
apart one person's visits and two people's lie, and how long people take between each two cameras.
It still has to decide who is who, by the tracker's own linkage, all at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from stgal_stream.core.calibration.link_test import LinkStatus
from stgal_stream.core.calibration.model import Calibration, PairModel
from stgal_stream.core.calibration.pair_histogram import N_DISTANCE_BINS
from stgal_stream.core.calibration.time_grid import TimeGrid, smoothed
from stgal_stream.core.calibration.travel_time_distribution import TravelTimeDistribution
from stgal_stream.core.gallery.gallery import Gallery
from stgal_stream.core.gallery.normalisation import camera_centred
from stgal_stream.core.identities.resolver import IdentityResolver
from stgal_stream.core.identities.revision import LinkageTable
from stgal_stream.core.matching.pair_scorer import PairScorer
from stgal_stream.core.measures.distance import distances
from stgal_stream.core.measures.isotonic import isotonic_decreasing
from stgal_stream.core.measures.travel_time import travel_times_s
from stgal_stream.settings import TrackerSettings
from stgal_stream.types import CameraPair, Floats, Integers, Mask, Tracklet, camera_pair

_PSEUDO = 0.5  # pairs added to each bin of distance, so that no odds are infinite


@dataclass(frozen=True, slots=True)
class PerfectVisits:
    """The window as perfect visits, and whose they are (N,)."""

    gallery: Gallery
    people: Integers

    @classmethod
    def of(cls, tracklets: Iterable[Tracklet], people: Iterable[int]) -> PerfectVisits:
        """From tracklets in order of their numbers."""
        gallery = Gallery()
        for tracklet in tracklets:
            gallery.add(tracklet, tracklet.end_s)
        return cls(gallery, np.array(list(people), np.int64))


def true_calibration(visits: PerfectVisits, grid: TimeGrid | None = None) -> Calibration:
    """What a calibration would be if it were told whose each visit is."""
    gallery, grid = visits.gallery, grid or TimeGrid()
    normalisation = camera_centred(gallery.embeddings, gallery.cameras)
    directions = normalisation.directions(gallery.embeddings, gallery.cameras)
    d = distances(directions, directions).astype(np.float64)
    times = travel_times_s(gallery.spans[:, None], gallery.spans[None, :])
    width = float(d.max()) * 1.05 / N_DISTANCE_BINS or 1.0
    is_one = visits.people[:, None] == visits.people[None, :]
    upper = np.triu(np.ones(d.shape, bool), 1)
    camera = gallery.cameras
    here = camera[:, None] == camera[None, :]
    bins = np.minimum((d / width).astype(np.int64), N_DISTANCE_BINS - 1)
    ratio = {
        within: _distance_ratio(bins, upper & (here == within) & ~(here & (times == 0)), is_one)
        for within in (False, True)
    }
    pairs: dict[CameraPair, PairModel] = {}
    names = gallery.camera_names
    for a in range(len(names)):
        for b in range(a, len(names)):
            rows = upper & _between(camera, a, b)
            rows &= ~(here & (times == 0))
            model = _pair_model(rows, is_one, times, ratio[a == b], grid)
            if model is not None:
                pairs[camera_pair(names[a], names[b])] = model
    return Calibration(
        "bound", "calibrated", 1.0, 1.0, dict(sorted(pairs.items())), grid, width, normalisation
    )


def best_identities(visits: PerfectVisits) -> list[str]:
    """The identity of each visit, by average linkage over all of them at once."""
    calibration = true_calibration(visits)
    scorer = PairScorer(visits.gallery)
    scorer.use(calibration)
    resolver = IdentityResolver("bound", TrackerSettings(min_log_odds=0.0), scorer)
    numbers = visits.gallery.numbers.tolist()
    for number in numbers:
        resolver.registry.create(number)
    table = LinkageTable(resolver.rules)
    for _ in table.fill():
        pass
    resolver.revise(table, 0.0)
    return [resolver.registry.of(number).global_id for number in numbers]


def _between(camera: Integers, a: int, b: int) -> Mask:
    first, second = camera[:, None], camera[None, :]
    found: Mask = ((first == a) & (second == b)) | ((first == b) & (second == a))
    return found


def _distance_ratio(bins: Integers, rows: Mask, is_one: Mask) -> Floats:
    """log f1 / f0 over the bins of distance, (B,), from labelled pairs."""
    same = np.bincount(bins[rows & is_one], minlength=N_DISTANCE_BINS) + _PSEUDO
    different = np.bincount(bins[rows & ~is_one], minlength=N_DISTANCE_BINS) + _PSEUDO
    share = isotonic_decreasing(same / (same + different), same + different)
    share = np.clip(share, 1e-9, 1 - 1e-9)
    return np.asarray(np.log(share / (1 - share)) - np.log(same.sum() / different.sum()))


def _pair_model(
    rows: Mask, is_one: Mask, times: Floats, distance_ratio: Floats, grid: TimeGrid
) -> PairModel | None:
    n = int(rows.sum())
    if not n:
        return None
    same = int((rows & is_one).sum())
    seen = np.bincount(grid.bins(times[rows]), minlength=grid.n).astype(np.float64)
    right = np.bincount(grid.bins(times[rows & is_one]), minlength=grid.n).astype(np.float64)
    g0 = smoothed(seen, np.ones(grid.n))
    g1 = smoothed(right, g0, pseudo=1.0)
    prior = (same + 0.5) / (n + 1.0)
    by_time, log_prior = np.log(g1 / g0), float(np.log(prior / (1 - prior)))
    return PairModel(
        LinkStatus.LINKED,
        same,
        TravelTimeDistribution.of(times[rows & is_one]),
        p_travel=expit(log_prior + by_time),
        log_time_ratio=by_time,
        log_distance_ratio=distance_ratio,
        log_prior_odds=log_prior,
    )
