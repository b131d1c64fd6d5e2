"""A site's window seen by another extractor: nothing is compared across versions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stgal_stream.core.tracker.extractor_change import ExtractorChange
from stgal_stream.core.tracker.site_tracker import SiteTracker
from stgal_stream.settings import TrackerSettings
from stgal_stream.types import AssociationEvent, Detection, Event, IdentityEvent, Refusal
from tests.support.snapshots import reloaded
from tests.support.walk import simulated_walk

SETTINGS = TrackerSettings(window_s=600.0, first_calibration=20)


def seen_by_another(detection: Detection) -> Detection:
    """Other numbers, other dimension, the same people."""
    turned = np.concatenate([3.0 * detection.embedding[::-1], detection.embedding[:2]])
    return replace(detection, embedding=turned.astype(np.float32), extractor="another")


def feed(tracker: SiteTracker, detections: list[Detection]) -> list[Event]:
    return [event for detection in detections for event in tracker.observe(detection)]


def switched(tracker: SiteTracker, seen: list[Detection], keep: float = 1.0) -> list[Event]:
    """Changes the extractor; only the share ``keep`` of the detections can be embedded again."""
    switch = ExtractorChange(tracker, "another")
    for detection in seen[int((1 - keep) * len(seen)) :]:
        switch.take(detection.id, seen_by_another(detection).embedding)
        switch.take(detection.id, np.zeros(26, np.float32))  # given twice: counts once
    return switch.apply()


def ids(tracker: SiteTracker) -> set[str]:
    """The identities alive."""
    identities = tracker.window.identities
    return {identities[label].global_id for label in identities.slots}


@pytest.mark.parametrize("tracked", [True, False])
def test_identities_go_on_and_nothing_is_compared_across_versions(tracked: bool) -> None:
    detections = simulated_walk(2, n_people=40, tracked=tracked)
    half = len(detections) // 2
    tracker = SiteTracker("s", SETTINGS)
    feed(tracker, detections[:half])
    before = ids(tracker)
    events = switched(tracker, detections[:half])
    assert not [e for e in events if isinstance(e, IdentityEvent) and e.kind == "renamed"]
    assert before <= ids(tracker)
    events = feed(tracker, [seen_by_another(d) for d in detections[half:]])
    pairs = [e for e in events if isinstance(e, AssociationEvent)]
    assert pairs
    assert {e.query.extractor for e in pairs} == {"another"}
    assert {e.evidence.partner.extractor for e in pairs} == {"another"}
    decided = [
        name
        for e in events
        if isinstance(e, IdentityEvent) and e.kind in ("created", "joined") and e.tracklet
        for name in e.tracklet.detection_ids
    ]
    assert len(decided) == len(set(decided))


def test_what_was_not_embedded_again_is_compared_with_nothing() -> None:
    detections = simulated_walk(2, n_people=40)
    half = len(detections) // 2
    tracker = SiteTracker("s", SETTINGS)
    feed(tracker, detections[:half])
    switched(tracker, detections[:half], keep=0.6)
    gallery = tracker.window.gallery
    assert 0 < (~gallery.comparable).sum() < len(gallery)
    blind = set(gallery.numbers[~gallery.comparable].tolist())
    assert not blind & {n for pair in tracker.window.buddies.accepted for n in pair}
    scores = tracker.window.scorer.one(int(gallery.numbers[gallery.comparable][0]))
    assert np.isnan(scores.log_odds[~gallery.comparable]).all()
    assert (scores.p_association[~gallery.comparable] == 0).all()


def test_a_window_of_which_nothing_is_left_ends() -> None:
    detections = simulated_walk(2, n_people=20)
    tracker = SiteTracker("s", SETTINGS)
    feed(tracker, detections)
    n = len(tracker.window.identities)
    ended = [e for e in switched(tracker, []) if isinstance(e, IdentityEvent) and e.kind == "ended"]
    assert len(ended) >= n
    assert len(tracker.window.gallery) == 0


def test_restored_after_a_switch_goes_on_as_if_never_stopped() -> None:
    detections = simulated_walk(3, n_people=40, tracked=False)
    half = len(detections) // 2
    told = []
    for stopped in (False, True):
        tracker = SiteTracker("s", SETTINGS)
        feed(tracker, detections[:half])
        switched(tracker, detections[:half], keep=0.8)
        if stopped:
            tracker = reloaded(tracker)
        rest = feed(tracker, [seen_by_another(d) for d in detections[half:]])
        told.append([repr(event) for event in rest])
    assert told[0] == told[1]


def test_a_change_before_the_first_tracklet_is_complete_loses_nobody() -> None:
    """All there is waits for the watermark: no tracklet to compare, and the site goes on."""
    detections = simulated_walk(2, n_people=40)
    n = sum(d.time_s <= detections[0].time_s + 8 for d in detections)
    tracker = SiteTracker("s", SETTINGS)
    feed(tracker, detections[:n])
    assert not len(tracker.window.gallery)
    switched(tracker, detections[:n])
    events = feed(tracker, [seen_by_another(d) for d in detections[n:]])
    assert not [e for e in events if isinstance(e, Refusal)]
    assert [e for e in events if isinstance(e, IdentityEvent)]


def test_another_extractor_that_came_for_good_takes_over_after_a_window() -> None:
    """Whoever embeds upstream changes the model: what is foreign moves time on all the same."""
    detections = simulated_walk(2, n_people=200)
    half = len(detections) // 2
    tracker = SiteTracker("s", TrackerSettings(window_s=60.0, first_calibration=20))
    feed(tracker, detections[:half])
    events = feed(tracker, [seen_by_another(d) for d in detections[half:]])
    refused = [e for e in events if isinstance(e, Refusal)]
    assert refused
    last_s = max(e.detection.time_s for e in refused)
    assert last_s < detections[half].time_s + 60 + 60
    assert tracker.extractor == "another"
