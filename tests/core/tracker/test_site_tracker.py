"""The online tracker: determinism, order, restarts, cannot-link, bounds, and quality."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stgal_stream.core.measures.travel_time import travel_time_s
from stgal_stream.core.tracker.site_tracker import SiteTracker
from stgal_stream.settings import TrackerSettings
from stgal_stream.types import (
    AssociationEvent,
    Box,
    Detection,
    Event,
    IdentityEvent,
    Reason,
    Refusal,
)
from tests.support.snapshots import reloaded, state_bytes
from tests.support.walk import simulated_walk
from tests.support.walked_best_buddies import walked_best_buddies

SMALL = TrackerSettings(window_s=400.0, first_calibration=20, allowed_lateness_s=10.0)


def run(detections: list[Detection], tracker: SiteTracker) -> list[Event]:
    events: list[Event] = []
    for detection in detections:
        events += tracker.observe(detection)
    return events


def told(events: list[Event]) -> list[str]:
    return [repr(event) for event in events]


@pytest.mark.slow
@settings(max_examples=9)
@given(
    st.integers(0, 10_000), st.booleans(), st.sampled_from(["calibrated", "paper", "appearance"])
)
def test_restored_goes_on_as_if_never_stopped(seed: int, tracked: bool, setting: str) -> None:
    detections = simulated_walk(seed, n_people=25, tracked=tracked)
    chosen = replace(SMALL, method=setting)
    never = SiteTracker("s", chosen)
    whole = run(detections, never)
    rng = np.random.default_rng(seed)
    tracker, events = SiteTracker("s", chosen), []
    for detection in detections:
        if rng.random() < 0.02:
            tracker = reloaded(tracker)
        events += tracker.observe(detection)
    assert told(events) == told(whole)
    assert state_bytes(tracker) == state_bytes(never)


def test_people_of_one_frame_are_in_a_snapshot_as_they_were() -> None:
    """Boxes of one moment that hide each other: what each counts is a plain number."""
    walk = [
        replace(d, time_s=float(round(d.time_s)), box=Box(10.0 * n, 0.0, 10.0 * n + 30, 90.0 + n))
        for n, d in enumerate(simulated_walk(2, n_people=12, duration_s=30.0))
    ]
    tracker, never = SiteTracker("s", SMALL), SiteTracker("s", SMALL)
    for detection in walk:
        tracker.observe(detection)
        never.observe(detection)
        for number in (t.weight for t in tracker.builder.state().open):
            assert type(number) is float
        tracker = reloaded(tracker)
    assert state_bytes(tracker) == state_bytes(never)


@pytest.mark.slow
@settings(max_examples=9)
@given(st.integers(0, 10_000))
def test_order_of_arrival_within_the_lateness_changes_nothing(seed: int) -> None:
    detections = simulated_walk(seed, n_people=25)
    rng = np.random.default_rng(seed)
    delayed = sorted(detections, key=lambda d: d.time_s + rng.uniform(0, 9.9))
    end_s = detections[-1].time_s + 200
    outcome = []
    for stream in (detections, delayed):
        tracker = SiteTracker("s", SMALL)
        outcome.append(told(run(stream, tracker) + tracker.tick(end_s)))
    assert outcome[0] == outcome[1]


@pytest.mark.slow
@settings(max_examples=9)
@given(st.integers(0, 10_000), st.sampled_from([("calibrated", True), ("paper", True)]))
def test_accepted_pairs_are_the_reference_on_the_window_at_every_watermark(
    seed: int, kind: tuple[str, bool]
) -> None:
    setting, tracked = kind
    tracker = SiteTracker("s", replace(SMALL, window_s=300.0, method=setting))
    window = tracker.window
    accepted: set[tuple[int, int]] = set()
    seen: set[tuple[int, int]] = set()
    for detection in simulated_walk(seed, n_people=40, tracked=tracked, duration_s=500):
        events = tracker.observe(detection)
        if not events:
            continue
        for event in events:
            if isinstance(event, AssociationEvent):
                first, second = event.evidence.partner.number, event.query.number
                pair = (min(first, second), max(first, second))
                (accepted.add if event.kind == "accepted" else accepted.discard)(pair)
        gallery = window.gallery
        rows = [s.p_candidate for _, s in window.scorer.rows(gallery.numbers.tolist())]
        matrix = np.stack(rows) if rows else np.zeros((0, 0))
        upper = np.triu(matrix, 1)
        wanted = walked_best_buddies(upper + upper.T, gallery.cameras.tolist())
        shifted = {(i + gallery.first, j + gallery.first) for i, j in wanted}
        accepted = {p for p in accepted if p[0] in gallery and p[1] in gallery}
        assert window.buddies.accepted == shifted
        assert accepted == shifted
        assert window.accepted.pairs == shifted
        seen |= shifted
    assert seen


def identities(events: list[Event]) -> dict[str, str]:
    """Final identity of every detection."""
    of: dict[str, str] = {}
    renamed: dict[str, str] = {}
    for event in events:
        if not isinstance(event, IdentityEvent):
            continue
        if event.kind in ("created", "joined"):
            assert event.tracklet is not None
            of |= dict.fromkeys(event.tracklet.detection_ids, event.global_id)
        elif event.kind == "renamed" and event.tracklet is not None:
            of |= dict.fromkeys(event.tracklet.detection_ids, event.global_id)
        elif event.kind == "renamed":
            assert event.from_id is not None
            renamed[event.from_id] = event.global_id

    def final(name: str) -> str:
        while name in renamed:
            name = renamed[name]
        return name

    return {detection: final(name) for detection, name in of.items()}


@pytest.mark.parametrize("seed", range(4))
def test_nobody_is_in_one_camera_twice_at_one_time(seed: int) -> None:
    detections = simulated_walk(seed, n_people=60, duration_s=300)
    tracker = SiteTracker("s", SMALL)
    of = identities(run(detections, tracker) + tracker.tick(detections[-1].time_s + 60))
    spans: dict[tuple[str, str, str | None], list[float]] = defaultdict(list)
    for seen in detections:
        spans[of[seen.id], seen.camera, seen.track_id].append(seen.time_s)
    by_identity = defaultdict(list)
    for (identity, camera, track), times in spans.items():
        by_identity[identity, camera].append((min(times), max(times), track))
    for visits in by_identity.values():
        visits.sort()
        for (_, end_s, _), (start_s, _, _) in pairwise(visits):
            assert start_s > end_s


def test_people_are_found_again_and_not_confused() -> None:
    detections = simulated_walk(7, n_people=100, duration_s=2000)
    tracker = SiteTracker("s", TrackerSettings())
    of = identities(run(detections, tracker) + tracker.tick(detections[-1].time_s + 60))
    assert set(of) == {seen.id for seen in detections}
    person = {seen.id: seen.id.split("-")[0] for seen in detections}
    pairs = right = true = 0
    names = sorted(of)
    for i, first in enumerate(names):
        for second in names[:i]:
            same = person[first] == person[second]
            true += same
            pairs += of[first] == of[second]
            right += same and of[first] == of[second]
    assert right / pairs > 0.97
    assert right / true > 0.9


def test_what_is_late_twice_or_foreign_is_refused_with_its_reason() -> None:
    detections = simulated_walk(1, n_people=10)
    tracker = SiteTracker("s", SMALL)
    run(detections, tracker)
    last = detections[-1]
    late = replace(last, id="late", time_s=last.time_s - 500)
    foreign = replace(last, id="foreign", extractor="other")
    narrow = replace(last, id="narrow", embedding=last.embedding[:5])
    reasons = []
    for seen in (late, last, foreign, narrow):
        (event,) = tracker.observe(seen)
        assert isinstance(event, Refusal)
        reasons.append(event.reason)
    assert reasons == [
        Reason.LATE,
        Reason.DUPLICATE_ID,
        Reason.FOREIGN_EMBEDDING,
        Reason.FOREIGN_EMBEDDING,
    ]


def test_the_window_and_what_is_open_are_bounded() -> None:
    bounded = replace(SMALL, max_tracklets=15, max_open_tracklets=12)
    tracker = SiteTracker("s", bounded)
    refused = 0
    for seen in simulated_walk(3, n_people=60, duration_s=100):
        refused += sum(isinstance(e, Refusal) for e in tracker.observe(seen))
        assert len(tracker.window.gallery) <= 15
        assert len(tracker.builder) <= 12
    assert refused > 0


def test_a_long_track_is_cut_and_stays_one_identity() -> None:
    rng = np.random.default_rng(0)
    detections = [
        Detection(f"d{i}", "A", 1e9 + i, rng.normal(size=8).astype(np.float32), "x", track_id="7")
        for i in range(100)
    ]
    tracker = SiteTracker("s", TrackerSettings())
    of = identities(run(detections, tracker) + tracker.tick(1e9 + 200))
    assert len(set(of.values())) == 1
    assert len(tracker.window.gallery) > 2


def test_silence_ends_identities() -> None:
    tracker = SiteTracker("s", SMALL)
    run(simulated_walk(1, n_people=3), tracker)
    events = tracker.tick(1e9 + 5000)
    ended = [e for e in events if isinstance(e, IdentityEvent) and e.kind == "ended"]
    assert ended
    assert len(tracker.window.gallery) == 0
    assert len(tracker.window.identities) == 0


def in_both_views(seed: int, n_people: int = 12, until_s: int = 180) -> list[Detection]:
    """People who stay in view of two cameras; each part of a track differs from the next."""
    rng = np.random.default_rng(seed)
    found = []
    for person in range(n_people):
        point = rng.normal(size=16)
        for camera in ("a", "b"):
            pose = rng.normal(size=(until_s // 30 + 1, 16))
            for at_s in range(0, until_s, 2):
                vector = (point + 0.5 * pose[at_s // 30]).astype(np.float32)
                name = f"{camera}-{person}-{at_s}"
                found.append(
                    Detection(name, camera, at_s + 0.01 * person, vector, "m", f"{person}")
                )
    return sorted(found, key=lambda d: (d.time_s, d.id))


def test_who_stays_in_two_views_has_no_way_between_them() -> None:
    """Cut into parts, any part of a track may be the best buddy of any part of the other."""
    detections = in_both_views(1)
    never, tracker = (SiteTracker("s", SMALL) for _ in range(2))
    whole, events = run(detections, never), []
    for i, detection in enumerate(detections):
        if i % 400 == 399:
            tracker = reloaded(tracker)
        events += tracker.observe(detection)
    assert told(events) == told(whole)
    never.tick(200.0)
    gallery, calibration = never.window.gallery, never.window.scorer.calibration
    assert len(gallery) > 5 * 2 * 12
    assert set(gallery.spans.track_start_s.round().tolist()) == {0.0}
    assert calibration is not None
    times = calibration.pairs["a", "b"].distribution.times_s
    assert len(times) >= 10
    assert set(times) == {0.0}
    for row, found in enumerate(gallery.travel_times_s(np.arange(5))):
        mine = gallery.tracklets[row]
        assert found.tolist() == [travel_time_s(mine, other) for other in gallery.tracklets]
        assert max(found) > 0  # who was here before and who comes back still have one


def test_a_track_that_was_lost_for_long_begins_again() -> None:
    tracker = SiteTracker("s", SMALL)
    vector = np.ones(4, np.float32)
    times = [*range(0, 70, 2), *range(200, 270, 2)]
    for at_s in times:
        tracker.observe(Detection(f"{at_s}", "a", float(at_s), vector, "m", "7"))
    tracker.tick(290.0)
    found = {t.start_s: t.in_view_from_s for t in tracker.window.gallery.tracklets}
    assert set(found.values()) == {0.0, 200.0}
    assert all(
        in_view_from_s == (0.0 if start_s < 100 else 200.0)
        for start_s, in_view_from_s in found.items()
    )
