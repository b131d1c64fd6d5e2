"""What never moves is no person: posters among people, and people who stand still."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import pytest

from stgal_stream.core.tracker.site_tracker import SiteTracker
from stgal_stream.core.tracker.snapshot import restore, snapshot
from stgal_stream.settings import TrackerSettings
from stgal_stream.types import (
    AssociationEvent,
    Box,
    Detection,
    Event,
    IdentityEvent,
    OperatorCorrection,
    Vector,
    Verdict,
)
from stgal_stream.wire.events import encode_identity
from stgal_stream.wire.mapping import Mapping

DIM = 16
START_S = 1_700_000_000.0
MINUTES = 15
Rng = np.random.Generator


@dataclass(frozen=True)
class Stands:
    """Something that stands in ``gate``: what its boxes are out by (pixels), how far it sways
    (widths) and how slowly; without ``track_s`` it has no track."""

    name: str
    look: Vector
    left_px: float = 300.0
    jitter_px: float = 1.0
    sway: float = 0.0
    sway_s: float = 23.0
    track_s: float | None = 30.0
    every_s: float = 2.0
    noise: float = 0.15

    def seen(self, rng: Rng, minutes: float = MINUTES) -> Iterator[Detection]:
        for k, at_s in enumerate(np.arange(0.0, minutes * 60.0, self.every_s).tolist()):
            shift = self.left_px + self.sway * 60.0 * np.sin(at_s / self.sway_s)
            box = np.array([shift, 100.0, shift + 60, 260.0])
            box += self.jitter_px * rng.normal(size=4)
            look = self.look + self.noise * rng.normal(size=DIM)
            track = None if self.track_s is None else f"{self.name}{at_s // self.track_s:.0f}"
            yield Detection(
                f"{self.name}-{k}", "gate", START_S + at_s, look.astype(np.float32), "x", track,
                Box(*box.tolist()),
            )  # fmt: skip


def people(rng: Rng, n: int = 24, minutes: float = MINUTES) -> Iterator[Detection]:
    """They walk past the gate, and a quarter of a minute later through the hall."""
    for person in range(n):
        face = rng.normal(size=DIM)
        at_s = rng.uniform(0.0, minutes * 60.0 - 40.0)
        for camera, later_s in (("gate", 0.0), ("hall", 20.0 + rng.normal())):
            look = face + 0.1 * rng.normal(size=DIM)
            for k in range(4):
                left = 40.0 * k
                yield Detection(
                    f"p{person}-{camera}-{k}", camera, float(START_S + at_s + later_s + k),
                    (look + 0.1 * rng.normal(size=DIM)).astype(np.float32), "x",
                    f"{camera}{person}", Box(left, 100.0, left + 50, 250.0),
                )  # fmt: skip


def merged(*streams: Iterator[Detection]) -> list[Detection]:
    return sorted((d for stream in streams for d in stream), key=lambda d: (d.time_s, d.id))


def track(detections: list[Detection], settings: TrackerSettings | None = None) -> list[Event]:
    tracker = SiteTracker("shop", settings or TrackerSettings())
    events = [event for d in detections for event in tracker.observe(d)]
    return events + tracker.close()


def final(events: list[Event]) -> dict[str, str]:
    mapping = Mapping()
    for event in events:
        if isinstance(event, IdentityEvent):
            mapping.take(msgspec.json.decode(encode_identity("shop", event)))
    return {row.detection_id: row.global_id for row in mapping}


def statics(events: list[Event]) -> list[IdentityEvent]:
    return [e for e in events if isinstance(e, IdentityEvent) and e.kind == "static"]


def look(seed: int) -> Vector:
    return np.random.default_rng(seed).normal(size=DIM).astype(np.float32)


@pytest.mark.parametrize(
    "thing",
    [
        Stands("poster", look(90)),
        Stands("jitter", look(91), jitter_px=1.8),
        Stands("untracked", look(92), track_s=None, every_s=1.0),
        Stands("seldom", look(93), track_s=None, every_s=20.0),
        Stands("one-track", look(94), track_s=1e9),
        Stands("short-tracks", look(95), track_s=6.0, every_s=1.0),
    ],
    ids=lambda thing: thing.name,
)
def test_a_thing_is_one_static_identity_apart_from_people(thing: Stands) -> None:
    rng = np.random.default_rng(1)
    events = track(merged(thing.seen(rng), people(rng)))
    [told] = statics(events)
    ids = final(events)
    of_thing = {name for name in ids if name.startswith(thing.name)}
    assert {ids[name] for name in of_thing} == {told.global_id}
    assert told.global_id not in {ids[name] for name in ids.keys() - of_thing}
    assert told.at_s - START_S < 700.0, "said when it has stood there for ten minutes"
    for name in ("gate", "hall"):  # people are found as ever
        assert len({ids[f"p{p}-{name}-0"] for p in range(24)}) >= 22
    together = sum(ids[f"p{p}-gate-0"] == ids[f"p{p}-hall-0"] for p in range(24))
    assert together >= 20
    pairs: set[tuple[str, str]] = set()
    for event in events:
        if isinstance(event, AssociationEvent):
            pair = event.query.id, event.evidence.partner.id
            pairs = pairs | {pair} if event.kind == "accepted" else pairs - {pair}
            is_later = event.at_s > told.at_s
            assert not (is_later and event.kind == "accepted" and of_thing.intersection(pair))
    in_window = {pair for pair in pairs if of_thing.intersection(pair)}
    assert not in_window


def test_what_was_hidden_for_a_while_is_found_when_it_has_stood_long_enough_again() -> None:
    rng = np.random.default_rng(8)
    poster = Stands("poster", look(90)).seen(rng, 20.0)
    seen = (d for d in poster if not 240.0 < d.time_s - START_S < 400.0)
    events = track(merged(seen, people(rng, minutes=20.0)))
    [told] = statics(events)
    assert 1000.0 <= told.at_s - START_S < 1100.0
    ids = final(events)
    assert {ids[name] for name in ids if name.startswith("poster-")} == {told.global_id}


def test_two_posters_of_one_print_are_two_things() -> None:
    rng = np.random.default_rng(2)
    first = Stands("a", look(90), left_px=300.0)
    second = Stands("b", look(90), left_px=800.0)
    events = track(merged(first.seen(rng), second.seen(rng), people(rng)))
    assert len({e.global_id for e in statics(events)}) == 2
    ids = final(events)
    assert {ids[name] for name in ids if name.startswith("a-")}.isdisjoint(
        ids[name] for name in ids if name.startswith("b-")
    )


@pytest.mark.parametrize(("sway", "sway_s"), [(0.1, 10.0), (0.1, 150.0)])
def test_who_sits_and_moves_a_little_is_a_person(sway: float, sway_s: float) -> None:
    rng = np.random.default_rng(3)
    clerk = Stands("clerk", look(90), sway=sway, sway_s=sway_s)
    events = track(merged(clerk.seen(rng), people(rng)))
    assert not statics(events)


def test_people_who_stand_on_one_spot_one_after_the_other_are_people() -> None:
    rng = np.random.default_rng(4)
    queue = [
        replace(d, id=f"q{k}-{d.id}", time_s=d.time_s + 30.0 * k, track_id=f"q{k}")
        for k in range(30)
        for d in Stands("spot", look(100 + k)).seen(rng, 0.4)
    ]
    assert not statics(track(merged(iter(queue), people(rng))))


def test_infinity_switches_it_off() -> None:
    rng = np.random.default_rng(1)
    stream = merged(Stands("poster", look(90)).seen(rng), people(rng))
    assert not statics(track(stream, TrackerSettings(static_after_s=float("inf"))))


def test_an_operator_makes_it_a_person_for_good() -> None:
    rng = np.random.default_rng(5)
    stream = merged(Stands("guard", look(90)).seen(rng), people(rng))
    tracker = SiteTracker("shop", TrackerSettings())
    events: list[Event] = []
    for d in stream:
        events += tracker.observe(d)
        if statics(events) and not tracker.window.resolver.constraints:
            word = OperatorCorrection("c1", Verdict.SAME, ("guard-0",), ("guard-200",), "me", 1.0)
            events += tracker.correct(word)
    events += tracker.close()
    for late in Stands("guard", look(90)).seen(rng):  # away for five minutes, and back
        again = replace(late, id=f"again-{late.id}", time_s=late.time_s + 60.0 * (MINUTES + 5))
        events += tracker.observe(again)
    events += tracker.close()
    assert len(statics(events)) == 1
    assert not tracker.window.static_objects.by_camera()
    assert tracker.window.gallery.comparable.all()


def test_a_restart_in_between_changes_nothing() -> None:
    rng = np.random.default_rng(6)
    stream = merged(Stands("poster", look(90)).seen(rng), people(rng))
    whole = track(stream)
    tracker = SiteTracker("shop", TrackerSettings())
    parts: list[Event] = []
    for k, d in enumerate(stream):
        if k % 97 == 0:
            tracker = restore(snapshot(tracker), tracker.settings)
        parts += tracker.observe(d)
    parts += tracker.close()
    told = [[encode_identity("shop", e) for e in events if isinstance(e, IdentityEvent)]
            for events in (whole, parts)]  # fmt: skip
    assert told[0] == told[1]


def test_a_thing_that_was_taken_away_is_forgotten() -> None:
    rng = np.random.default_rng(7)
    settings = TrackerSettings(window_s=600.0, static_after_s=120.0)
    tracker = SiteTracker("shop", settings)
    poster = Stands("poster", look(90)).seen(rng, 5.0)
    for d in merged(poster, people(rng, n=60)):
        tracker.observe(d)
    tracker.close()
    assert not [t for t in tracker.window.static_objects if t.until_s < START_S + 600.0]
