"""Pseudo-pairs of a whole window under a model of one's own, by BBP or by IBBS.

What ``retrain`` trains on is what the stream published; this chooses again, so that selections can
be compared on one window and so that a second baseline gets pairs of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from stgal_stream.core.calibration.calibrate import calibrate
from stgal_stream.core.matching.pair_scorer import PairScorer
from stgal_stream.core.measures.best_buddies import best_buddies
from stgal_stream.retraining.data.pseudo_pairs import without_conflicts
from stgal_stream.retraining.data.stream_events import Sighting
from stgal_stream.retraining.negatives import N_NEGATIVES, gallery_of
from stgal_stream.settings import TrackerSettings
from stgal_stream.training.batches import PseudoPair

_LEAST_POSTERIOR = 0.5


def choose_pairs(
    sightings: list[Sighting], embeddings: NDArray[np.float32], *, iterated: bool
) -> list[PseudoPair]:
    """Pairs across cameras of sightings in order of time, embedded as (N, D): those of best-buddies
    search that are more probably one person than not, without those that contradict another."""
    found = list(_pairs(sightings, embeddings, iterated))
    return without_conflicts(found, sightings, Counter())


def _pairs(
    sightings: list[Sighting], embeddings: NDArray[np.float32], iterated: bool
) -> Iterator[PseudoPair]:
    gallery = gallery_of(sightings, embeddings)
    scorer = PairScorer(gallery)
    scorer.use(calibrate(gallery, TrackerSettings(max_tracklets=len(sightings)), "chosen"))
    members = [np.flatnonzero(gallery.cameras == c) for c in range(len(gallery.camera_names))]
    for camera, queries in enumerate(members):
        scores = [scored for _, scored in scorer.rows(queries.tolist())]
        p = np.stack([s.p_candidate for s in scores])
        odds = np.stack([s.log_odds for s in scores])
        sure = 1.0 / (1.0 + np.exp(-np.nan_to_num(odds, nan=-np.inf)))
        for other in members[camera + 1 :]:
            matrix = np.where(p[:, other] > 0, p[:, other], -np.inf)
            for i, j in best_buddies(matrix, iterated=iterated).tolist():
                posterior = float(sure[i, other[j]])
                if posterior >= _LEAST_POSTERIOR:
                    one, two = int(queries[i]), int(other[j])
                    yield PseudoPair(min(one, two), max(one, two), posterior)


def random_negatives(
    sightings: list[Sighting], queries: list[int], seed: int
) -> dict[int, NDArray[np.int64]]:
    """Rows of other cameras for each query, all as probable: what hard ones are measured by."""
    rng = np.random.default_rng((seed, 1))
    cameras = np.array([f"{s.site}\x00{s.camera}" for s in sightings])
    found = {}
    for row in queries:
        elsewhere = np.flatnonzero(cameras != cameras[row])
        if len(elsewhere):
            found[row] = rng.choice(elsewhere, N_NEGATIVES)
    return found
