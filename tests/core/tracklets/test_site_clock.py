"""Event time from clocks of which any one may be wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stgal_stream.core.tracker.site_tracker import SiteTracker
from stgal_stream.core.tracklets.camera_clock import LEAST_OFF_S
from stgal_stream.core.tracklets.site_clock import SiteClock
from stgal_stream.evaluation.stream_quality import pair_quality
from stgal_stream.experiments.worlds import boxes, delivery, looks, movement
from stgal_stream.experiments.worlds.bench import World, stream_of, track
from stgal_stream.experiments.worlds.delivery import DeliveryLaw, odd_camera
from stgal_stream.settings import TrackerSettings
from stgal_stream.types import Detection, Reason, Refusal

Records = list[tuple[str, float]]


def traffic(seed: int, n: int = 1000, every_s: float = 1.0, cameras: int = 5) -> Records:
    """Records in order of time: (camera, true time)."""
    rng = np.random.default_rng(seed)
    times = 1e6 + np.cumsum(rng.exponential(every_s, n))
    return [(f"c{rng.integers(cameras)}", float(t)) for t in times]


def told(records: Iterable[tuple[str, float]]) -> tuple[SiteClock, list[float]]:
    """A clock after records, and its time after each."""
    clock, times = SiteClock(), []
    for camera, stamp_s in records:
        clock.observe(camera, stamp_s)
        times.append(clock.time_s)
    return clock, times


def test_one_camera_alone_hardly_ever_moves_the_site() -> None:
    """One camera writes anything, at any of its records: the site is no more than a small step
    beyond the truth, and not far behind it.

    Hardly ever: a camera that goes by two clocks in turn, each for a share of its records, is taken
    for one clock. Where one of the two was learned, the other can carry the site along.
    """
    rng, n_moved = np.random.default_rng(0), 0
    for _ in range(300):
        span_s = float(rng.choice([30, 90, 600, 7200]))
        off_s, share = float(rng.uniform(-span_s, span_s)), float(rng.uniform(0, 1))
        cameras = int(rng.integers(3, 9))
        records = traffic(int(rng.integers(2**32)), cameras=cameras)
        first = [("c1", records[0][1]), ("c2", records[0][1])]
        wrong = [(c, t + off_s if c == "c0" and rng.random() < share else t) for c, t in records]
        _, times = told(first + wrong)
        ahead_s = np.array(times[2:]) - np.array([t for _, t in records])
        is_moved = ahead_s.max() > LEAST_OFF_S or np.quantile(-ahead_s[50:], 0.95) >= 90
        n_moved += bool(is_moved)
    assert n_moved <= 3


@pytest.mark.parametrize("off_s", [12.0, 45.0, 59.0, 3600.0, -30.0, -3600.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_clock_that_is_off_is_named_with_its_seconds(off_s: float, seed: int) -> None:
    records = [(c, t + off_s * (c == "c0")) for c, t in traffic(seed)]
    clock, _ = told(records)
    assert set(clock.odd_s) == {"c0"}
    assert clock.odd_s["c0"] == pytest.approx(off_s, abs=5.0)


@pytest.mark.parametrize("every_s", [0.1, 1.0, 10.0, 60.0])
def test_good_clocks_are_left_alone(every_s: float) -> None:
    for seed in range(5):
        clock, _ = told(traffic(seed, every_s=every_s))
        assert not clock.odd_s, (seed, clock.odd_s)


def test_people_who_come_as_regularly_as_a_clock_are_no_wrong_clock() -> None:
    """Where little happens every camera speaks long after all others did."""
    records = [
        (f"c{camera}", 1e6 + 60.0 * person + 20.0 * camera + second)
        for person in range(100)
        for camera in range(2)
        for second in range(4)
    ]
    clock, _ = told(sorted(records, key=lambda r: r[1]))
    assert not clock.odd_s


def test_a_camera_alone_moves_the_site_by_its_own_progress() -> None:
    both = traffic(1, n=100, cameras=2)
    start_s = both[-1][1]
    alone = [("c0", start_s + second) for second in range(300)]
    _, times = told(both + alone)
    assert times[-1] == pytest.approx(start_s + 299, abs=30.0)


def test_all_clocks_set_back_are_one_time_that_goes_on() -> None:
    records = traffic(2)
    middle_s = records[500][1]
    clock, times = told([(c, t - 3600.0 * (t > middle_s)) for c, t in records])
    assert not clock.odd_s
    # It stands still until the last camera has said so.
    assert times[-1] == pytest.approx(records[-1][1], abs=60.0)
    assert (np.diff(times) >= 0).all()


def test_what_an_outage_has_kept_is_no_wrong_clock() -> None:
    """A camera is offline for ten minutes and then sends all of it; a new one begins so."""
    for before_s in (0.0, 1200.0):
        sent = []
        for camera, t in traffic(3, n=3000):
            is_offline = camera == "c0" and before_s <= t - 1e6 < before_s + 600
            sent.append((1e6 + before_s + 600 if is_offline else t, camera, t))
        order = [(c, t) for _, c, t in sorted(sent)]
        clock, times = told(order)
        assert not clock.odd_s
        arrives = np.maximum.accumulate(sorted(a for a, _, _ in sent))
        assert (np.array(times) <= arrives + LEAST_OFF_S).all()


@given(st.integers(0, 2**32), st.integers(1, 400))
@settings(max_examples=30)
def test_restored_it_goes_on_the_same(seed: int, cut: int) -> None:
    rng = np.random.default_rng(seed)
    records = [(c, t + float(rng.choice([0, 0, 0, 59, -3600]))) for c, t in traffic(seed, n=400)]
    whole, times = told(records)
    clock, _ = told(records[:cut])
    restored = SiteClock(clock.state())
    found = []
    for camera, stamp_s in records[cut:]:
        restored.observe(camera, stamp_s)
        found.append(restored.time_s)
    assert found == times[cut:]
    assert restored.odd_s == whole.odd_s


# --- through the tracker ---------------------------------------------------------------------


def world(law: DeliveryLaw, people: int = 60, minutes: float = 25.0) -> World:
    return World(
        movement.campus, looks.isotropic, boxes.TRACKED, people, minutes, 0.6, 4, delivery=law
    )


def f1_of(law: DeliveryLaw) -> tuple[float, int]:
    stream = stream_of(world(law))
    found = track(stream.arriving, TrackerSettings()).final
    people = [stream.visits[stream.visit_of[d.id]].person for d in stream.detections]
    ids = [found.get(d.id, d.id) for d in stream.detections]
    quality = pair_quality(ids, people, [d.camera for d in stream.detections])
    return quality.f1, len(ids) - len(found)


@pytest.fixture(scope="module")
def in_time() -> float:
    return f1_of(delivery.IN_TIME)[0]


@pytest.mark.parametrize("law", delivery.LAWS, ids=lambda law: str(law.name))
def test_late_records_and_wrong_clocks_cost_nobody_his_identity(
    law: DeliveryLaw, in_time: float
) -> None:
    f1, lost = f1_of(law)
    assert lost == 0
    assert f1 >= in_time - 0.03


def test_a_late_track_is_one_tracklet_and_says_how_late() -> None:
    tracker, events = SiteTracker("s", TrackerSettings()), []
    one = np.eye(4, dtype=np.float32)[0]
    on_time = [Detection(f"a{i}", "a", 1e6 + i, one, "x", str(i // 4)) for i in range(200)]
    also = [replace(d, id="b" + d.id, camera="b") for d in on_time]
    late = [Detection(f"c{i}", "c", 1e6 + 50 + i, one, "x", "7") for i in range(10)]
    both = [d for pair in zip(on_time, also, strict=True) for d in pair]
    for detection in both[:300] + late + both[300:]:
        events += tracker.observe(detection)
    events += tracker.close()
    assert not [e for e in events if isinstance(e, Refusal)]
    mine = [t for t in tracker.window.gallery.tracklets if t.camera == "c"]
    assert [t.detection_ids for t in mine] == [tuple(d.id for d in late)]
    assert 80 < mine[0].late_s < 95
    assert (mine[0].start_s, mine[0].end_s) == (1e6 + 50, 1e6 + 59)


def test_beyond_the_window_late_is_late() -> None:
    tracker = SiteTracker("s", TrackerSettings(window_s=100.0))
    one = np.ones(4, np.float32)
    for i in range(200):
        for camera in "ab":
            tracker.observe(Detection(f"{camera}{i}", camera, 1e6 + i, one, "x"))
    events = tracker.observe(Detection("z", "a", 1e6, one, "x"))
    assert [e.reason for e in events if isinstance(e, Refusal)] == [Reason.LATE]


def test_what_lies_far_ahead_gives_way_where_too_much_waits() -> None:
    tracker = SiteTracker("s", TrackerSettings(max_open_tracklets=50))
    one, refused = np.ones(4, np.float32), []
    for i in range(400):
        ahead_s = 40_000.0 if i % 4 == 3 else 0.0  # a quarter of the records
        for camera in "ab":
            name = f"{camera}{i}"
            events = tracker.observe(Detection(name, camera, 1e6 + i + ahead_s, one, "x"))
            refused += [e for e in events if isinstance(e, Refusal)]
    assert refused
    assert all(int(e.detection.id[1:]) % 4 == 3 for e in refused)
    assert {e.reason for e in refused} == {Reason.TOO_MANY_OPEN}


def test_the_odd_camera_is_the_one_that_was_changed() -> None:
    stream = stream_of(world(delivery.LAWS[3]))
    tracker = SiteTracker("s", TrackerSettings())
    for detection in (arrival.detection for arrival in stream.arriving):
        tracker.observe(detection)
    assert set(tracker.clock.odd_s) == {odd_camera(stream.detections)}


def test_a_camera_that_was_forgotten_speaks_as_a_new_one() -> None:
    """It was the last that spoke, the site's time went on by ticks, and its clock is far behind."""
    clock = SiteClock()
    for i in range(30):
        clock.observe("ab"[i % 2], 1e6 + i)
    for i in range(30, 2000, 5):
        clock.tick(1e6 + i)
    clock.forget(1e6 + 1400.0)
    clock.observe("b", 1e6 + 1000.0)
    assert clock.time_s == 1e6 + 1995.0


def test_ticks_of_one_who_began_later_move_nothing_but_by_what_passes() -> None:
    """Who reads the records was started again and goes by what a camera shows that is an hour off,
    or goes on after one that did."""
    for off_s in (3600.0, -3600.0):
        clock = SiteClock()
        for i in range(30):
            clock.observe("ab"[i % 2], 1e6 + i)
        for i in range(30, 60, 5):
            clock.tick(1e6 + i + off_s, most_s=120.0)
        assert clock.time_s == pytest.approx(1e6 + 54.0, abs=1.0)
        for i in range(60, 90, 5):
            clock.tick(1e6 + i, most_s=120.0)
        assert clock.time_s == pytest.approx(1e6 + 79.0, abs=1.0)


def test_a_tick_from_far_ahead_counts_where_nothing_else_was_said() -> None:
    clock = SiteClock()
    clock.observe("a", 1e6)
    clock.tick(1e6 + 7200.0)
    assert clock.time_s == 1e6 + 7200.0
