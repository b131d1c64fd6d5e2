"""The paper's own calibration: equations 2 to 4 with its constants as printed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from stgal_stream.core.calibration.link_test import LinkStatus
from stgal_stream.core.calibration.model import Calibration, PairModel
from stgal_stream.core.calibration.travel_time_distribution import TravelTimeDistribution
from stgal_stream.core.gallery.gallery import Gallery
from stgal_stream.core.gallery.known_negatives import known_negatives, negative_distances
from stgal_stream.core.gallery.normalisation import Normalisation
from stgal_stream.core.measures.distance import distances, visual_probability
from stgal_stream.settings import TrackerSettings
from stgal_stream.types import CameraPair, Floats, camera_pair

_BLOCK = 256  # queries at a time


def calibrate_paper(gallery: Gallery, settings: TrackerSettings, version: str) -> Calibration:
    """Matched pairs are those of two cameras with P_v above sigma; their travel times are P_t."""
    alpha = settings.paper_alpha
    negatives = negative_distances(gallery, known_negatives(gallery), Normalisation())
    sigma = largest_negative(visual_probability(negatives, alpha))
    found: dict[CameraPair, TravelTimeDistribution] = {}
    for pair, times in _matched_times(gallery, alpha, sigma):
        found[pair] = TravelTimeDistribution.of(times, settings.paper_epsilon_s)
    pairs = {p: PairModel(LinkStatus.LINKED, seen.n, seen) for p, seen in sorted(found.items())}
    return Calibration(version, "paper", alpha, sigma, pairs)


def largest_negative(negatives: ArrayLike) -> float:
    """Sigma (equation 3): the largest P_v of a known negative; 1 where there is none, since then
    nothing says how alike two people can be."""
    values = np.asarray(negatives, dtype=np.float64)
    return float(values.max()) if values.size else 1.0


def _matched_times(
    gallery: Gallery, alpha: float, sigma: float
) -> Iterator[tuple[CameraPair, Floats]]:
    """The travel times of the pairs of two cameras with P_v above sigma, block by block."""
    embeddings, names = gallery.embeddings, gallery.camera_names
    members = [
        np.flatnonzero((gallery.cameras == i) & gallery.comparable) for i in range(len(names))
    ]
    for a in range(len(names)):
        for b in range(a + 1, len(names)):
            parts = []
            for start in range(0, len(members[a]), _BLOCK):
                rows, columns = members[a][start : start + _BLOCK], members[b]
                d = distances(embeddings[rows], embeddings[columns])
                is_matched = visual_probability(d, alpha) > sigma
                parts.append(gallery.travel_times_s(rows, columns)[is_matched])
            matched = np.concatenate(parts) if parts else np.zeros(0)
            if len(matched):
                yield camera_pair(names[a], names[b]), matched
