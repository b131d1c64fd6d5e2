"""How an identity of several people is split, and what its episodes are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest

from stgal_stream.core.calibration.within_person import MAX_DEVIATION, GroupMeans
from stgal_stream.core.identities.expected_precision import ExpectedPrecision
from stgal_stream.core.identities.group_mean import (
    are_too_far,
    group_log_ratio,
    group_mean,
)
from stgal_stream.core.identities.registry import IdentityRegistry
from stgal_stream.core.identities.resolver import IdentityResolver
from stgal_stream.core.identities.revision import IN_DOUBT, MOVE_MARGIN
from stgal_stream.core.identities.rules import IdentityRules
from stgal_stream.core.identities.splitting import episodes_of, foreign_tracklets
from stgal_stream.core.matching.pair_scorer import PairScorer
from stgal_stream.core.measures.log_odds import LOG_ODDS_LIMIT
from stgal_stream.core.tracker.site_tracker import SiteTracker
from stgal_stream.settings import TrackerSettings
from stgal_stream.types import Detection, IdentityEvent
from tests.support.episodes import DIM, ONE_PERSON, scorer_of, two_people
from tests.support.snapshots import reloaded
from tests.support.walk import simulated_walk

LEAST = 1.5


def _rules(numbers: Sequence[int], scorer: PairScorer) -> IdentityRules:
    """One identity of these tracklets, and nobody else."""
    registry = IdentityRegistry(scorer.gallery, "site")
    registry.create(numbers[0])
    for number in numbers[1:]:
        registry.join(number, registry.slot_of(numbers[0]))
    return IdentityRules(registry, scorer, min_log_odds=LEAST)


def _split(rules: IdentityRules) -> list[list[list[int]]]:
    return list(foreign_tracklets(rules, ExpectedPrecision()))


def _foreign(numbers: Sequence[int], scorer: PairScorer) -> list[list[int]]:
    found = _split(_rules(numbers, scorer))
    assert len(found) <= 1
    return found[0] if found else []


def test_what_one_camera_saw_with_short_breaks_is_an_episode() -> None:
    nowhere = np.zeros(DIM)
    times = [("a", 0.0), ("b", 30.0), ("a", 400.0), ("c", 410.0), ("a", 420.0), ("b", 440.0)]
    gallery = scorer_of([(camera, at_s, nowhere) for camera, at_s in times], None).gallery
    assert episodes_of([5, 3, 1, 0, 2, 4], gallery) == [[0], [1], [2, 4], [3], [5]]
    assert episodes_of(range(6), gallery, [[0, 4], [3, 9]]) == [[0, 2, 4], [1], [3], [5]]


def test_who_stays_in_one_camera_is_one_episode() -> None:
    """A track cut into parts."""
    gallery = scorer_of([("c", 30.0 * k, np.zeros(DIM)) for k in range(10)], None).gallery
    assert episodes_of(range(10), gallery) == [list(range(10))]
    found = group_mean(gallery, range(10))
    assert found is not None
    assert found.n == 1


def test_of_a_large_identity_the_newest_are_looked_at() -> None:
    seen = [("a", 100.0 * k, np.full(DIM, 9.0 if k in (3, 290) else 0.0)) for k in range(300)]
    assert _foreign(range(300), scorer_of(seen, ONE_PERSON)) == [[290]]


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
    assert group_log_ratio(ONE_PERSON, known, [None])[0] == -np.inf


@pytest.mark.parametrize("seed", range(5))
def test_a_look_alike_is_split_and_one_person_is_not(seed: int) -> None:
    found = _foreign(range(36), scorer_of(two_people(0.8, seed), ONE_PERSON))
    assert found == [list(range(12, 24))]
    assert _foreign(range(36), scorer_of(two_people(0.0, seed), ONE_PERSON)) == []


@pytest.mark.parametrize("seed", range(5))
def test_who_was_split_is_too_far_apart_to_be_merged_again(seed: int) -> None:
    """As groups, not visit by visit: all that one camera alone saw."""
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


def test_what_operators_linked_and_anchored_stays() -> None:
    """The look-alike's tracklets are linked with the person's: to one in the window, and to one
    that has left it; what can be compared with nothing goes where it is linked to."""
    scorer = scorer_of(two_people(0.8, 1), ONE_PERSON)
    rules = _rules(range(36), scorer)
    assert _split(rules) == [[list(range(12, 24))]]
    rules.constraints.unite([0, 12])
    assert 12 not in {n for people in _split(rules) for one in people for n in one}
    rules = _rules(range(36), scorer)
    slot = rules.registry.slot_of(0)
    rules.constraints.unite([11, 13])
    rules.constraints.expire(11, slot)
    (people,) = _split(rules)
    assert 13 not in {n for one in people for n in one}
    comparable = np.ones(36, bool)
    comparable[35] = False
    scorer.gallery.reembed("x", scorer.gallery.embeddings.copy(), comparable)
    rules = _rules(range(36), scorer)
    rules.constraints.unite([20, 35])
    assert _split(rules) == [[[*range(12, 24), 35]]]


def test_two_whose_partners_have_left_can_be_said_to_be_two_people() -> None:
    """The newest word holds, also where both were linked to tracklets of this very identity."""
    scorer = scorer_of(two_people(0.0, 1)[:8], ONE_PERSON)
    resolver = IdentityResolver("s", TrackerSettings(), scorer)
    resolver.registry.create(0)
    slot = resolver.registry.slot_of(0)
    for number in range(1, 8):
        resolver.registry.join(number, slot)
    resolver.constraints.unite([0, 2])
    resolver.constraints.unite([1, 3])
    for number in (0, 1):
        resolver.constraints.expire(number, slot)
    events = resolver.part([2], [3], 1e4, "word")
    assert resolver.registry.slot_of(2) != resolver.registry.slot_of(3)
    assert {event.operator_correction for event in events} == {"word"}
    assert resolver.constraints.are_apart(*map(resolver.registry.slot_of, (2, 3)))


def test_where_nothing_is_known_nobody_is_split() -> None:
    assert _foreign([2, 0], scorer_of(two_people(5.0, 1), None)) == []


@pytest.mark.parametrize(
    ("by_pairs", "where", "stays"),
    [
        (6.0, 0.0, True),
        (-2.0, 0.0, True),  # in doubt: the two as groups decide
        (-2.0, 1.8, False),
        (-8.0, 0.0, False),  # nothing speaks for one person any more
    ],
)
def test_two_are_parted_where_they_would_not_be_joined(
    by_pairs: float, where: float, stays: bool
) -> None:
    seen = [("a", 0.0, np.zeros(DIM)), ("b", 60.0, np.full(DIM, where))]
    found = _foreign(range(2), scorer_of(seen, ONE_PERSON, by_pairs))
    assert found == ([] if stays else [[1]])


def _one_by_one(numbers: Sequence[int], rules: IdentityRules) -> set[frozenset[int]]:
    """The people of an identity, by the law as it is written."""
    scorer, calibration = rules.scorer, rules.scorer.calibration
    assert calibration is not None
    scatter = calibration.scatter
    assert scatter is not None
    limit = rules.min_log_odds - MOVE_MARGIN
    groups = episodes_of(numbers, scorer.gallery)

    def judged(one: list[int], other: list[int]) -> tuple[float, float] | None:
        pairs = [(scorer.one(i), j - scorer.gallery.first) for i in one for j in other]
        nearest = min(s.times_s[j] for s, j in pairs)
        time = next(s.log_time[j] for s, j in pairs if s.times_s[j] == nearest)
        linkage = float(np.mean([s.log_appearance[j] for s, j in pairs]) + time)
        prior = float(np.mean([s.log_prior[j] for s, j in pairs]))
        means = [group_mean(scorer.gallery, group) for group in (one, other)]
        assert means[0] is not None
        assert means[1] is not None
        deviation = float(scatter.deviations(means[0], GroupMeans.of([means[1]]))[0])
        by_looks = float(scatter.log_ratio(means[0], GroupMeans.of([means[1]]))[0])
        by_group = min(by_looks + prior, LOG_ODDS_LIMIT) + time
        agree = linkage > limit or (linkage > limit - IN_DOUBT and by_group > limit)
        return (-linkage, deviation) if agree and deviation <= MAX_DEVIATION else None

    while True:
        found = [(judged(*pair), pair) for pair in combinations(groups, 2)]
        joined = [(how, pair) for how, pair in found if how is not None]
        if not joined:
            return {frozenset(group) for group in groups}
        one, other = min(joined)[1]
        groups = [g for g in groups if g not in (one, other)] + [sorted(one + other)]


@pytest.mark.parametrize("seed", range(4))
def test_people_are_those_of_the_law_as_it_is_written(seed: int) -> None:
    tracker = SiteTracker("s", TrackerSettings(first_calibration=40))
    for detection in simulated_walk(seed, n_people=40):
        tracker.observe(detection)
    scorer, rng = tracker.window.scorer, np.random.default_rng(seed)
    numbers = scorer.gallery.numbers.tolist()
    n_split = 0
    for _ in range(12):
        # Some that may be one person's, and some that are anybody's.
        own = tracker.window.identities.of(int(rng.choice(numbers))).members[:4]
        others = [n for n in rng.choice(numbers, 4, replace=False).tolist() if n not in own]
        mine = sorted([*own, *others])
        if len({(g.camera, g.start_s) for g in map(scorer.gallery.__getitem__, mine)}) < len(mine):
            continue
        for number in numbers:
            scorer.gallery.assign(number, -1)
        rules = _rules(mine, scorer)
        foreign = _foreign(mine, scorer)
        people = {frozenset(mine) - {n for one in foreign for n in one}, *map(frozenset, foreign)}
        assert people == _one_by_one(mine, rules)
        n_split += bool(foreign)
        for identity in list(tracker.window.identities.slots):
            for number in tracker.window.identities[identity].members:
                scorer.gallery.assign(number, identity)
    assert n_split > 3


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
