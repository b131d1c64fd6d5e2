"""Together, cameras that share nobody must not look as if they did: the whole way from tracklets
to the joint evidence, on cameras that share nobody."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stgal_stream.core.calibration.link_test import joint_evidence, link_evidence
from stgal_stream.core.calibration.pair_histogram import count_pairs
from stgal_stream.core.calibration.time_grid import TimeGrid, smoothed
from stgal_stream.core.gallery.gallery import Gallery
from stgal_stream.core.gallery.normalisation import camera_centred
from stgal_stream.core.measures.weighted_counts import weighted_counts
from stgal_stream.types import Floats, Tracklet

GRID = TimeGrid()
_RUNS = 300
_SIZES = (4, 8, 15)  # people a camera


def strangers(
    rng: np.random.Generator, n_cameras: int, n_each: int, *, on_the_beat: bool
) -> Floats:
    """(n_cameras, n_each) when each camera's people come: at random, or as trains bring them."""
    span_s = float(rng.choice([120.0, 600.0, 3600.0]))
    if not on_the_beat:
        return np.asarray(rng.uniform(0, span_s, (n_cameras, n_each)))
    beat_s = np.arange(n_each) * span_s / n_each
    return np.asarray(beat_s + rng.uniform(0, 1, (n_cameras, n_each)))


def evidence_of(rng: np.random.Generator, times_s: Floats) -> float:
    """The joint evidence of cameras whose people look like nobody else."""
    gallery = Gallery()
    seen = sorted((float(t), f"c{k}") for k, row in enumerate(times_s) for t in row)
    for number, (at_s, camera) in enumerate(seen):
        look = rng.normal(size=16).astype(np.float32)
        gallery.add(Tracklet(number, camera, at_s, at_s + 2, look, "x", (f"d{number}",)), at_s)
    rows = np.arange(len(seen))
    normalisation = camera_centred(gallery.embeddings, gallery.cameras)
    counted = count_pairs(gallery, rows, GRID, normalisation).across.all
    seen_by_time = [weighted_counts(p.cells % GRID.n, p.counts, GRID.n) for p in counted]
    g0 = smoothed(np.array(seen_by_time), np.ones(GRID.n))
    bets = [link_evidence(part.facts, g0[k])[1] for k, part in enumerate(counted)]
    return joint_evidence([part.pair for part in counted], np.array(bets))


@pytest.mark.slow
@pytest.mark.parametrize("on_the_beat", [False, True])
@pytest.mark.parametrize("n_cameras", [2, 4, 7])
def test_cameras_that_share_nobody_do_not_look_as_if_they_did(
    n_cameras: int, on_the_beat: bool
) -> None:
    rng = np.random.default_rng(n_cameras)
    found = []
    for _ in range(_RUNS):
        n_each = int(rng.choice(_SIZES))
        times_s = strangers(rng, n_cameras, n_each, on_the_beat=on_the_beat)
        found.append(evidence_of(rng, times_s))
    for p in (0.1, 0.02):
        assert np.mean(np.array(found) >= -math.log(p)) <= p
