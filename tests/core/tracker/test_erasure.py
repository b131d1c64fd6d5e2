"""One person is forgotten by a tracker: nothing of them is left, the others stay who they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stgal_stream.core.tracker.site_tracker import SiteTracker
from stgal_stream.settings import TrackerSettings
from stgal_stream.types import AssociationEvent, Erasure, IdentityEvent
from tests.support.corrections import Reader
from tests.support.snapshots import packed, reloaded, state_bytes
from tests.support.walk import simulated_walk

SHORT = TrackerSettings(window_s=400.0, first_calibration=20, allowed_lateness_s=10.0)


@pytest.mark.slow
@settings(max_examples=14)
@given(
    seed=st.integers(0, 10_000),
    method=st.sampled_from(["calibrated", "paper", "appearance"]),
    tracked=st.booleans(),
)
def test_nothing_is_left_and_nobody_else_changes(seed: int, method: str, tracked: bool) -> None:
    rng = np.random.default_rng(seed)
    tracker, reader = SiteTracker("s", replace(SHORT, method=method)), Reader()
    erased: set[str] = set()
    for detection in simulated_walk(seed, n_people=25, tracked=tracked):
        events = tracker.observe(detection)
        reader.read(events)
        for event in events:
            if isinstance(event, IdentityEvent | AssociationEvent):
                assert erased.isdisjoint(repr(event).replace("'", " ").split())
        if rng.random() < 0.02:
            tracker = reloaded(tracker)
        gallery, registry = tracker.window.gallery, tracker.window.identities
        if rng.random() > 0.02 or not len(registry):
            continue
        identity = registry[rng.choice(registry.slots).item()]
        theirs = [gallery[number] for number in identity.members]
        vectors = [t.embedding.tobytes() for t in theirs]
        before = {n: whose for n, whose in reader.identity.items() if whose != identity.global_id}
        names = {name for t in theirs for name in t.detection_ids}
        told = tracker.erase(Erasure((identity.global_id,), tuple(names)[:1]))
        who = [event for event in told if isinstance(event, IdentityEvent)]
        assert who == [IdentityEvent("erased", who[0].at_s, identity.global_id)]
        erased |= names | {identity.global_id}
        tracker = reloaded(tracker) if rng.random() < 0.5 else tracker
        state = state_bytes(tracker)
        assert not [name for name in erased if packed(name) in state]
        assert not [vector for vector in vectors if vector in state]
        assert identity.global_id.encode() not in state
        reader.read(told)
        now = {n: whose for n, whose in reader.identity.items() if whose != identity.global_id}
        assert now == before
    tracker.tick(2e9)
    assert not len(tracker.window.gallery)


def test_it_goes_on_the_same_from_a_snapshot() -> None:
    walk = simulated_walk(3, n_people=30)
    outcome = []
    for restarts in (False, True):
        tracker = SiteTracker("s", SHORT)
        events = [event for d in walk[:250] for event in tracker.observe(d)]
        registry = tracker.window.identities
        events += tracker.erase(Erasure((registry[registry.slots[2]].global_id,), ()))
        if restarts:
            tracker = reloaded(tracker)
        events += [event for d in walk[250:] for event in tracker.observe(d)]
        outcome.append((repr(events), state_bytes(tracker)))
    assert outcome[0] == outcome[1]


def test_who_is_not_known_is_said_to_be_erased_all_the_same() -> None:
    """What others keep of an identity outlives the window."""
    tracker = SiteTracker("s", SHORT)
    assert tracker.erase(Erasure(("gone",), ("d1",))) == [IdentityEvent("erased", 0.0, "gone")]
