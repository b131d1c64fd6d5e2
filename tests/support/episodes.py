"""Tracklets whose pairs say nothing, so that only groups tell people apart."""

from __future__ import annotations

import numpy as np

from stgal_stream.core.calibration.link_test import LinkStatus
from stgal_stream.core.calibration.model import Calibration, PairModel
from stgal_stream.core.calibration.pair_histogram import N_DISTANCE_BINS
from stgal_stream.core.calibration.travel_time_distribution import TravelTimeDistribution
from stgal_stream.core.calibration.within_person import WithinPersonScatter
from stgal_stream.core.gallery.gallery import Gallery
from stgal_stream.core.matching.pair_scorer import PairScorer
from stgal_stream.types import Floats, Tracklet

DIM = 32
_MOST_S = 100.0
ONE_PERSON = WithinPersonScatter(2.0 * DIM, DIM, 4.0 * DIM)
LOG_PRIOR_ODDS = -5.0  # that any two tracklets are one person
Seen = tuple[str, float, np.ndarray]  # camera, time (s), embedding


def scorer_of(
    seen: list[Seen],
    scatter: WithinPersonScatter | None,
    by_pairs: float | Floats = 6.0,
) -> PairScorer:
    """Tracklets of one moment each. Every pair's cameras and appearance say ``by_pairs`` for one
    person, whoever the two are, or as much as their distance's bin does (D,); people take up to
    100 s from one camera to the next."""
    gallery = Gallery()
    for number, (camera, time_s, vector) in enumerate(seen):
        name = (f"d{number}",)
        gallery.add(
            Tracklet(number, camera, time_s, time_s, vector.astype(np.float32), "x", name), time_s
        )
    model = Calibration("1", "calibrated", 1.0, 1.0)
    ratio = np.where(model.grid.centres_s() <= _MOST_S, 2.0, -2.0)
    never, share = TravelTimeDistribution(10.0, 0.0), np.full(len(ratio), 0.5)
    by_distance = np.full(N_DISTANCE_BINS, by_pairs) - LOG_PRIOR_ODDS
    pairs = {
        pair: PairModel(LinkStatus.LINKED, 20, never, share, ratio, by_distance, LOG_PRIOR_ODDS)
        for pair in (("a", "a"), ("a", "b"), ("b", "b"))
    }
    scorer = PairScorer(gallery)
    scorer.use(Calibration("1", "calibrated", 1.0, 1.0, pairs, model.grid, scatter=scatter))
    return scorer


def two_people(apart: float, seed: int) -> list[Seen]:
    """Six visits of six episodes each, the first and the last two of one person, the others of
    another whose episodes lie ``apart`` standard deviations away in every dimension."""
    rng, seen = np.random.default_rng(seed), []
    for visit in range(6):
        centre = np.full(DIM, apart if 2 <= visit < 4 else 0.0)
        for k in range(6):
            vector = centre + rng.normal(size=DIM)
            seen.append(("ab"[k % 2], 1000.0 * visit + 70.0 * k, vector))
    return seen
