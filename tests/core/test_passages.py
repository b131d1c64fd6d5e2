"""Passages of an identity, and how an identity of two people is parted."""

from __future__ import annotations

import numpy as np
import pytest

from stgal_stream.core.calibration import Calibration, PairModel
from stgal_stream.core.gallery import Gallery
from stgal_stream.core.mixture import Verdict
from stgal_stream.core.passages import parted, passages
from stgal_stream.core.scorer import Scorer
from stgal_stream.core.site_state import restore, snapshot
from stgal_stream.core.site_tracker import SiteTracker
from stgal_stream.core.spread import Spread
from stgal_stream.core.travel_time import TravelTimeDistribution
from stgal_stream.types import Detection, IdentityEvent, TrackerSettings, Tracklet

DIM = 32


def _scorer(
    seen: list[tuple[str, float, np.ndarray]], spread: Spread | None, most_s: float = 60.0
) -> Scorer:
    """Tracklets of one moment each: camera, time and embedding. People take up to ``most_s`` from
    one camera to the next."""
    gallery = Gallery()
    for number, (camera, time_s, vector) in enumerate(seen):
        name = (f"d{number}",)
        gallery.add(
            Tracklet(number, camera, time_s, time_s, vector.astype(np.float32), "x", name), time_s
        )
    model = Calibration("1", "calibrated", 1.0, 1.0)
    ratio = np.where(model.grid.centres_s() <= most_s, 2.0, -2.0)
    never = TravelTimeDistribution(10.0, 0.0)
    pairs = {
        pair: PairModel(Verdict.LINKED, 20, never, log_time_ratio=ratio)
        for pair in (("a", "a"), ("a", "b"), ("b", "b"))
    }
    scorer = Scorer(gallery)
    scorer.use(Calibration("1", "calibrated", 1.0, 1.0, pairs, model.grid, spread=spread))
    return scorer


def test_passages_are_cut_where_time_does_not_speak_for_one_person() -> None:
    nowhere = np.zeros(DIM)
    times = [("a", 0.0), ("b", 30.0), ("a", 400.0), ("c", 410.0), ("a", 420.0), ("b", 440.0)]
    scorer = _scorer([(camera, at_s, nowhere) for camera, at_s in times], None)
    # Nothing is known of camera c, so it is a passage by itself.
    assert passages([5, 3, 1, 0, 2, 4], scorer) == [[0, 1], [2], [3], [4, 5]]


def test_of_too_many_passages_the_shortest_breaks_are_closed() -> None:
    nowhere, gaps = np.zeros(DIM), [100.0 + i for i in range(299)]
    at_s = np.concatenate([[0.0], np.cumsum(gaps)])
    scorer = _scorer([("a", float(t), nowhere) for t in at_s], None)
    found = passages(range(300), scorer)
    assert len(found) == 256
    assert found[0] == list(range(300 - 255))


def test_what_one_camera_saw_in_a_row_is_one_look() -> None:
    vectors = [np.full(DIM, float(k)) for k in (1, 3, 5, 8)]
    scorer = _scorer(
        [(c, 10.0 * k, v) for k, (c, v) in enumerate(zip("aaba", vectors, strict=True))], None
    )
    assert scorer.looks([3, 1, 0, 2])[:, 0].tolist() == [2.0, 5.0, 8.0]


def _two_people(apart: float, seed: int) -> list[tuple[str, float, np.ndarray]]:
    """Six passages of six looks each, the first and the last two of one person, the others of
    another whose looks lie ``apart`` standard deviations away in every dimension."""
    rng, seen = np.random.default_rng(seed), []
    for passage in range(6):
        centre = np.full(DIM, apart if 2 <= passage < 4 else 0.0)
        for k in range(6):
            vector = centre + rng.normal(size=DIM)
            seen.append(("ab"[k % 2], 1000.0 * passage + 20.0 * k, vector))
    return seen


@pytest.mark.parametrize("seed", range(5))
def test_a_look_alike_is_parted_and_one_person_is_not(seed: int) -> None:
    spread = Spread(2.0 * DIM, DIM, 4.0 * DIM, -5.0)
    two = parted(range(36), _scorer(_two_people(0.8, seed), spread))
    assert two == [[*range(12), *range(24, 36)], list(range(12, 24))]
    one = parted(range(36), _scorer(_two_people(0.0, seed), spread))
    assert one == [list(range(36))]


def test_where_nothing_is_known_nobody_is_parted() -> None:
    assert parted([2, 0], _scorer(_two_people(5.0, 1), None)) == [[2, 0]]


def _site(seed: int) -> list[Detection]:
    """Thirty people, half of them look-alikes of another, who walk from a to b in about 30 s and
    come back every ten minutes or so."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(30, DIM))
    points[15:] = points[:15] + 0.5 * rng.normal(size=(15, DIM))
    found = []
    for person in range(30):
        at_s = rng.uniform(0, 600)
        for _ in range(9):
            for camera in "ab":
                vector = (points[person] + 0.6 * rng.normal(size=DIM)).astype(np.float32)
                found.append((round(at_s, 3), camera, vector))
                at_s += 30 + 3 * rng.normal() if camera == "a" else 600 + 60 * rng.normal()
    found.sort(key=lambda seen: seen[0])
    return [Detection(f"d{i}", c, t, v, "x", f"t{i}") for i, (t, c, v) in enumerate(found)]


def test_a_parted_identity_has_a_new_name_and_nobody_is_lost() -> None:
    settings = TrackerSettings(window_s=20_000.0)
    parted_of, mapping, names, begun = 0, {}, set(), set()
    for seed in range(3):
        tracker = SiteTracker(f"s{seed}", settings)
        events = [e for d in _site(seed) for e in tracker.observe(d)]
        events += tracker.tick(1e5)
        for event in events:
            if not isinstance(event, IdentityEvent):
                continue
            if event.kind == "created":
                assert event.global_id not in names
                names.add(event.global_id)
            if event.kind == "renamed" and event.tracklet is not None and event.evidence is None:
                parted_of += 1
                assert mapping[event.tracklet.id] == event.from_id
                assert event.global_id not in names or (event.at_s, event.global_id) in begun
                begun.add((event.at_s, event.global_id))
                names.add(event.global_id)
            if event.tracklet is not None:
                mapping[event.tracklet.id] = event.global_id
            elif event.kind == "renamed":
                mapping = {
                    k: event.global_id if v == event.from_id else v for k, v in mapping.items()
                }
        gallery = tracker.associator.gallery
        now = {
            t.id: tracker.associator.identities.of(t.number).global_id for t in gallery.tracklets
        }
        assert now == {t.id: mapping[t.id] for t in gallery.tracklets}
    assert parted_of > 0


def test_a_restored_tracker_parts_the_same() -> None:
    settings, whole, cut = TrackerSettings(window_s=20_000.0), [], []
    tracker, other = SiteTracker("s", settings), SiteTracker("s", settings)
    for k, detection in enumerate(_site(1)):
        whole += tracker.observe(detection)
        if k % 50 == 0:
            other = restore(snapshot(other), settings)
        cut += other.observe(detection)
    assert list(map(repr, whole)) == list(map(repr, cut))
