"""Many cameras: camera pairs chosen and counted all at once, against one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stgal_stream.core.calibration import pair_histogram
from stgal_stream.core.calibration.calibrate import calibrate
from stgal_stream.core.calibration.camera_pairs import (
    AllPairs,
    SortedTracklets,
)
from stgal_stream.core.calibration.link_test import MIN_BUDDIES, LinkStatus
from stgal_stream.core.calibration.score_tables import ScoreTables
from stgal_stream.core.calibration.time_grid import TimeGrid
from stgal_stream.core.gallery.gallery import Gallery
from stgal_stream.core.measures.best_buddies import best_buddies
from stgal_stream.core.measures.distance import distances
from stgal_stream.core.measures.log_odds import LOG_ODDS_LIMIT
from stgal_stream.core.measures.travel_time import Spans, travel_times_s
from stgal_stream.settings import TrackerSettings
from stgal_stream.types import Tracklet

GRID = TimeGrid()


def sightings(seed: int, n: int, n_cameras: int) -> SortedTracklets:
    rng = np.random.default_rng(seed)
    cameras = np.sort(np.concatenate([np.arange(n_cameras), rng.integers(n_cameras, size=n)]))
    size = len(cameras)
    start = rng.uniform(0, 1000, size)
    spans = Spans(cameras, start, start, start + rng.uniform(0, 20, size))
    starts = np.searchsorted(cameras, np.arange(n_cameras))
    return SortedTracklets(rng.normal(size=(size, 4)).astype(np.float32), spans, cameras, starts)


@given(st.integers(0, 2**32), st.integers(0, 600), st.integers(2, 12))
@settings(max_examples=40)
def test_all_at_once_is_one_by_one(seed: int, n: int, n_cameras: int) -> None:
    found, width = sightings(seed, n, n_cameras), 0.1
    d = distances(found.directions, found.directions)
    bins = GRID.bins(travel_times_s(found.spans[:, None], found.spans[None, :]))
    table, telling = np.zeros((60, GRID.n)), []
    for a, b in itertools.combinations(range(n_cameras), 2):
        rows, columns = (np.flatnonzero(found.cameras == c) for c in (a, b))
        block = np.ix_(rows, columns)
        cells = np.minimum((d[block] / np.float32(width)).astype(int), 59)
        np.add.at(table, (cells, bins[block]), 1)
        if len(best_buddies(-d[block].astype(float), iterated=False)) >= MIN_BUDDIES:
            telling.append((a, b))
    pairs = AllPairs.of(found, GRID, None, width, 60)
    counted = pairs.across.reshape(60, GRID.n)
    assert counted.sum() == table.sum()
    assert np.abs(counted - table).sum() <= 0.001 * table.sum() + 2  # at the bins' edges
    assert pairs.telling(found, most=10_000) == telling


def test_the_most_telling_come_first() -> None:
    found = sightings(1, 500, 8)
    pairs = AllPairs.of(found, GRID, None, 0.1, 60)
    all_of_them, few = pairs.telling(found, 100), pairs.telling(found, 3)
    assert len(few) == 3
    assert set(few) <= set(all_of_them)


def ring(n_cameras: int, n_people: int, seed: int = 0) -> Gallery:
    """People who walk around a ring of cameras, 20 s from one to the next, six cameras each."""
    rng = np.random.default_rng(seed)
    visits = []
    for person in range(n_people):
        look, first, at_s = rng.normal(size=16), int(rng.integers(n_cameras)), rng.uniform(0, 3000)
        for step in range(6):
            camera = f"c{(first + step) % n_cameras:03d}"
            visits.append((at_s + step * rng.uniform(18, 22), camera, look, person))
    gallery = Gallery()
    for number, (at_s, camera, look, person) in enumerate(sorted(visits, key=lambda v: v[0])):
        vector = (look + 0.3 * rng.normal(size=16)).astype(np.float32)
        name = (f"{person}-{number}",)
        gallery.add(Tracklet(number, camera, at_s, at_s + 2, vector, "x", name, name[0]), at_s)
    return gallery


@pytest.mark.parametrize("n_cameras", [12, 100])
def test_a_wide_site_is_learned_as_a_small_one(
    n_cameras: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neighbours of the ring are linked, whether pairs are looked at one by one or chosen first."""
    gallery = ring(n_cameras, 12 * n_cameras)
    if n_cameras == 12:
        monkeypatch.setattr(pair_histogram, "_MAX_APART", 40)
    found = calibrate(gallery, TrackerSettings(), "v")
    linked = {p for p, m in found.pairs.items() if m.link is LinkStatus.LINKED and p[0] != p[1]}
    names = sorted({t.camera for t in gallery.tracklets})
    neighbours = {tuple(sorted((name, names[(i + 1) % n_cameras]))) for i, name in enumerate(names)}
    assert len(linked & neighbours) > 0.9 * n_cameras
    assert found.rest[0] is not None
    far = found.model(names[0], names[n_cameras // 2])
    assert far is not None
    assert far.link is not LinkStatus.LINKED
    assert found.model(names[0], "never seen") is None


def test_tables_say_what_the_models_say() -> None:
    gallery = ring(6, 80)
    found = calibrate(gallery, TrackerSettings(), "v")
    tables, names = ScoreTables(found), gallery.camera_names
    rng = np.random.default_rng(1)
    d, t = rng.uniform(0, 12, 200), rng.uniform(0, 400, 200)
    index = rng.integers(len(names), size=200)
    scores = tables.score("c000", names, index, d, t)
    for k in range(200):
        model = found.model("c000", names[index[k]])
        assert model is not None
        assert model.log_distance_ratio is not None
        assert model.log_time_ratio is not None
        assert model.p_travel is not None
        centres = (np.arange(len(model.log_distance_ratio)) + 0.5) * found.distance_width
        odds = np.interp(d[k], centres, model.log_distance_ratio) + model.log_prior_odds
        at = found.grid.bins(t[k])
        assert scores.log_appearance[k] == pytest.approx(
            np.clip(odds, -LOG_ODDS_LIMIT, LOG_ODDS_LIMIT)
        )
        assert scores.log_time[k] == model.log_time_ratio[at]
        assert scores.p_travel[k] == model.p_travel[at]


def test_one_image_a_camera_is_nobodys_buddy() -> None:
    """A producer that writes a random id as the camera: nothing is associated."""
    rng = np.random.default_rng(1)
    gallery = Gallery()
    for k in range(300):
        vector = rng.normal(size=8).astype(np.float32)
        gallery.add(Tracklet(k, f"u{k}", 5.0 * k, 5.0 * k, vector, "x", (f"d{k}",)), 5.0 * k)
    found = calibrate(gallery, TrackerSettings(), "v")
    assert not found.has_learned
    assert not found.pairs
