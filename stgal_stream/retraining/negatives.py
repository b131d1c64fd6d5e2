"""Hard negatives of a window of sightings: they look alike, but time says that they are two people.

The window is calibrated on the baseline's embeddings, as the daemon would; then candidates are
drawn by ``core.matching.hard_negatives``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stgal_stream.core.calibration.calibrate import calibrate
from stgal_stream.core.gallery.gallery import Gallery
from stgal_stream.core.matching.hard_negatives import sample_hard_negatives
from stgal_stream.core.matching.pair_scorer import PairScorer
from stgal_stream.retraining.data.stream_events import Sighting
from stgal_stream.settings import TrackerSettings
from stgal_stream.types import Tracklet

N_NEGATIVES = 32  # drawn for each query: more than its batches will ask for


def hard_negatives(
    sightings: list[Sighting], embeddings: NDArray[np.float32], queries: list[int], seed: int
) -> dict[int, NDArray[np.int64]]:
    """Rows of hard negatives of each query, from the baseline's embeddings (N, D) and the travel
    times that the window itself shows.

    A query without known travel times gets random ones of other cameras: its P_a is 0 everywhere,
    and the most similar candidate is too often the same person.
    """
    gallery = gallery_of(sightings, embeddings)
    settings = TrackerSettings(max_tracklets=len(sightings))
    scorer = PairScorer(gallery)
    scorer.use(calibrate(gallery, settings, "retraining"))
    cameras = gallery.cameras
    rng = np.random.default_rng((seed, 1))
    found = {}
    for row, scores in scorer.rows(queries):
        elsewhere = np.flatnonzero(cameras != cameras[row])
        known = elsewhere[~np.isnan(scores.log_odds[elsewhere])]
        if len(known) > 1:
            p_visual, p_association = scores.p_visual[known], scores.p_association[known]
            drawn = sample_hard_negatives(p_visual, p_association, N_NEGATIVES, rng)
            found[row] = known[drawn]
        elif len(elsewhere):
            found[row] = rng.choice(elsewhere, N_NEGATIVES)
    return found


def gallery_of(sightings: list[Sighting], embeddings: NDArray[np.float32]) -> Gallery:
    """The sightings as a window that can be calibrated on; each site's cameras are its own."""
    gallery = Gallery()
    for i, s in enumerate(sightings):
        tracklet = Tracklet(
            i, f"{s.site}\x00{s.camera}", s.start_s, s.end_s, embeddings[i], "", (s.id,)
        )
        gallery.add(tracklet, s.end_s)
    return gallery
