"""Tracklets whose pairs say nothing, so that only wholes tell people apart."""

from __future__ import annotations

import numpy as np

from stgal_stream.core.calibration import Calibration, PairModel
from stgal_stream.core.gallery import Gallery
from stgal_stream.core.mixture import N_DISTANCE_BINS, Verdict
from stgal_stream.core.scorer import Scorer
from stgal_stream.core.spread import Spread
from stgal_stream.core.travel_time import TravelTimeDistribution
from stgal_stream.types import Tracklet

DIM = 32
ONE_PERSON = Spread(2.0 * DIM, DIM, 4.0 * DIM, -5.0)
Seen = tuple[str, float, np.ndarray]  # camera, time (s), embedding


def scorer_of(
    seen: list[Seen], spread: Spread | None, by_pairs: float = 6.0, most_s: float = 100.0
) -> Scorer:
    """Tracklets of one moment each. Every pair's appearance says ``by_pairs`` for one person,
    whoever the two are; people take up to ``most_s`` from one camera to the next."""
    gallery = Gallery()
    for number, (camera, time_s, vector) in enumerate(seen):
        name = (f"d{number}",)
        gallery.add(
            Tracklet(number, camera, time_s, time_s, vector.astype(np.float32), "x", name), time_s
        )
    model = Calibration("1", "calibrated", 1.0, 1.0)
    ratio = np.where(model.grid.centres_s() <= most_s, 2.0, -2.0)
    never, share = TravelTimeDistribution(10.0, 0.0), np.full(len(ratio), 0.5)
    says = np.full(N_DISTANCE_BINS, by_pairs)
    pairs = {
        pair: PairModel(Verdict.LINKED, 20, never, share, ratio, says)
        for pair in (("a", "a"), ("a", "b"), ("b", "b"))
    }
    scorer = Scorer(gallery)
    scorer.use(Calibration("1", "calibrated", 1.0, 1.0, pairs, model.grid, spread=spread))
    return scorer


def two_people(apart: float, seed: int) -> list[Seen]:
    """Six passages of six looks each, the first and the last two of one person, the others of
    another whose looks lie ``apart`` standard deviations away in every dimension."""
    rng, seen = np.random.default_rng(seed), []
    for passage in range(6):
        centre = np.full(DIM, apart if 2 <= passage < 4 else 0.0)
        for k in range(6):
            vector = centre + rng.normal(size=DIM)
            seen.append(("ab"[k % 2], 1000.0 * passage + 70.0 * k, vector))
    return seen
