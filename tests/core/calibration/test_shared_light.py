"""Light that cameras share: found by known negatives, taken out of distances, never imagined."""

from __future__ import annotations

import numpy as np
import pytest

from stgal_stream.core.calibration.shared_light import shared_light
from stgal_stream.core.calibration.time_grid import TimeGrid
from stgal_stream.core.gallery.gallery import Gallery
from stgal_stream.core.gallery.known_negatives import known_negatives, negative_distances
from stgal_stream.core.gallery.normalisation import camera_centred
from stgal_stream.core.measures.distance import distances
from stgal_stream.experiments.worlds.looks import drift
from stgal_stream.types import Tracklet

GRID = TimeGrid()


def strangers(seed: int, light: float, n: int = 500) -> Gallery:
    """One camera; everybody passes once, some at one time."""
    rng = np.random.default_rng(seed)
    path = drift(rng, light)
    gallery = Gallery()
    for number, at_s in enumerate(np.sort(rng.uniform(0, 3000, n)).tolist()):
        vector = (rng.normal(size=64) + path(at_s)).astype(np.float32)
        name = str(number)
        seen = Tracklet(number, "a", at_s, at_s + 8, vector, "x", (name,), name)
        gallery.add(seen, at_s + 8)
    return gallery


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [0.5, 1.0])
def test_strangers_lie_as_far_apart_at_every_time(seed: int, size: float) -> None:
    gallery = strangers(seed, size)
    rows = np.arange(len(gallery))
    normalisation = camera_centred(gallery.embeddings, gallery.cameras)
    negatives = known_negatives(gallery)
    apart = negative_distances(gallery, negatives, normalisation)
    light = shared_light(gallery, rows, normalisation, GRID, negatives, apart)
    assert light is not None
    directions = normalisation.directions(gallery.embeddings, gallery.cameras)
    upper = np.triu_indices(len(gallery), 1)
    d, t = distances(directions, directions)[upper], gallery.travel_times_s(rows, rows)[upper]
    seen = light.seen(d, GRID.bins(t))
    near, far = (t > 0) & (t < 20), t > 1500
    assert np.median(d[near]) < 0.95 * np.median(d[far])
    assert np.median(seen[near]) == pytest.approx(np.median(seen[far]), rel=0.03)


@pytest.mark.parametrize("seed", range(5))
def test_in_constant_light_nothing_is_changed(seed: int) -> None:
    gallery = strangers(seed, 0.0)
    normalisation = camera_centred(gallery.embeddings, gallery.cameras)
    negatives = known_negatives(gallery)
    apart = negative_distances(gallery, negatives, normalisation)
    rows = np.arange(len(gallery))
    assert shared_light(gallery, rows, normalisation, GRID, negatives, apart) is None
