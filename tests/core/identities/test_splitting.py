"""Segments of an identity, and how an identity of two people is split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from stgal_stream.core.calibration.model import Calibration
from stgal_stream.core.identities.group_mean import (
    are_too_far,
    group_log_odds,
    group_mean,
)
from stgal_stream.core.identities.splitting import foreign_segments, segments
from stgal_stream.core.matching.pair_scorer import PairScorer
from stgal_stream.core.tracker.site_tracker import SiteTracker
from stgal_stream.settings import TrackerSettings
from stgal_stream.types import Detection, IdentityEvent
from tests.support.episodes import DIM, ONE_PERSON, scorer_of, two_people
from tests.support.snapshots import reloaded


def _calibration(scorer: PairScorer) -> Calibration:
    assert scorer.calibration is not None
    return scorer.calibration


def _foreign(numbers: Sequence[int], scorer: PairScorer) -> list[list[int]]:
    return foreign_segments(numbers, scorer.gallery, _calibration(scorer))


def test_segments_are_cut_where_time_does_not_speak_for_one_person() -> None:
    nowhere = np.zeros(DIM)
    times = [("a", 0.0), ("b", 30.0), ("a", 400.0), ("c", 410.0), ("a", 420.0), ("b", 440.0)]
    scorer = scorer_of([(camera, at_s, nowhere) for camera, at_s in times], None)
    # Nothing is known of camera c, so it is a segment by itself.
    assert segments([5, 3, 1, 0, 2, 4], scorer.gallery, _calibration(scorer)) == [
        [0, 1],
        [2],
        [3],
        [4, 5],
    ]


def test_who_stays_in_one_camera_is_one_segment_and_one_episode() -> None:
    """A track cut into parts, where nothing is known of the camera's own travel times."""
    scorer = scorer_of([("c", 30.0 * k, np.zeros(DIM)) for k in range(10)], None)
    assert segments(range(10), scorer.gallery, _calibration(scorer)) == [list(range(10))]
    found = group_mean(scorer.gallery, range(10))
    assert found is not None
    assert found.n == 1


def test_of_too_many_segments_the_shortest_breaks_are_closed() -> None:
    nowhere, gaps = np.zeros(DIM), [100.0 + i for i in range(299)]
    at_s = np.concatenate([[0.0], np.cumsum(gaps)])
    scorer = scorer_of([("a", float(t), nowhere) for t in at_s], None)
    found = segments(range(300), scorer.gallery, _calibration(scorer))
    assert len(found) == 256
    assert found[0] == list(range(300 - 255))


def test_what_one_camera_saw_at_one_time_is_one_episode() -> None:
    """Two views that overlap, alternating, and one of them again an hour later."""
    seen = [("a", 0.0, 1.0), ("b", 10.0, 4.0), ("a", 20.0, 3.0), ("b", 30.0, 6.0), ("a", 4e3, 9.0)]
    scorer = scorer_of([(c, at_s, np.full(DIM, x)) for c, at_s, x in seen], None)
    found = group_mean(scorer.gallery, [3, 1, 0, 2, 4])
    assert found is not None
    assert found.n == 3
    assert found.mean == pytest.approx(np.full(DIM, (2.0 + 5.0 + 9.0) / 3))


def test_what_can_be_compared_with_nothing_says_nothing_and_stays() -> None:
    scorer = scorer_of(two_people(0.0, 1), ONE_PERSON)
    lost = [5, 17, 30]
    comparable, embeddings = np.ones(36, bool), scorer.gallery.embeddings.copy()
    comparable[lost], embeddings[lost] = False, 100.0
    scorer.gallery.reembed("x", embeddings, comparable)
    assert _foreign(range(36), scorer) == []
    assert group_mean(scorer.gallery, lost) is None
    known = group_mean(scorer.gallery, [0, 1])
    assert not are_too_far(ONE_PERSON, group_mean(scorer.gallery, lost), [known]).any()
    assert are_too_far(ONE_PERSON, known, [None, known]).tolist() == [False, False]
    assert group_log_odds(ONE_PERSON, known, [None])[0] == -np.inf


@pytest.mark.parametrize("seed", range(5))
def test_a_look_alike_is_split_and_one_person_is_not(seed: int) -> None:
    assert _foreign(range(36), scorer_of(two_people(0.8, seed), ONE_PERSON)) == [
        list(range(12, 24))
    ]
    assert _foreign(range(36), scorer_of(two_people(0.0, seed), ONE_PERSON)) == []


@pytest.mark.parametrize("seed", range(5))
def test_who_was_split_is_too_far_apart_to_be_merged_again(seed: int) -> None:
    """As groups, not segment by segment: all that one camera alone saw."""
    rng = np.random.default_rng(seed)
    centres = np.where(rng.random(24) < 0.5, 0.0, 0.7)
    seen = [("a", 400.0 * k, centres[k] + rng.normal(size=DIM)) for k in range(24)]
    scorer = scorer_of(seen, ONE_PERSON)
    away = _foreign(range(24), scorer)
    groups = [sorted(set(range(24)) - {n for group in away for n in group}), *away]
    assert len(groups) > 1
    for i in range(len(groups)):
        for j in range(i):
            one, other = (group_mean(scorer.gallery, groups[k]) for k in (i, j))
            assert are_too_far(ONE_PERSON, one, [other]).all()


def test_where_nothing_is_known_nobody_is_split() -> None:
    assert _foreign([2, 0], scorer_of(two_people(5.0, 1), None)) == []


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


def test_a_split_identity_has_a_new_name_and_nobody_is_lost() -> None:
    settings = TrackerSettings(window_s=20_000.0)
    split_of, mapping, names, begun = 0, dict[str, str](), set[str](), set[tuple[float, str]]()
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
                split_of += 1
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
        gallery = tracker.window.gallery
        now = {t.id: tracker.window.identities.of(t.number).global_id for t in gallery.tracklets}
        assert now == {t.id: mapping[t.id] for t in gallery.tracklets}
    assert split_of > 0


def test_a_restored_tracker_splits_the_same() -> None:
    settings, whole, cut = TrackerSettings(window_s=20_000.0), [], []
    tracker, other = SiteTracker("s", settings), SiteTracker("s", settings)
    for k, detection in enumerate(_site(1)):
        whole += tracker.observe(detection)
        if k % 50 == 0:
            other = reloaded(other)
        cut += other.observe(detection)
    assert list(map(repr, whole)) == list(map(repr, cut))
