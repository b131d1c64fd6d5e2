"""Of whole identities: how much of them is expected to be right."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgal_stream.core.identities.expected_precision import ExpectedPrecision, n_across
from stgal_stream.core.identities.registry import IdentityRegistry
from stgal_stream.core.identities.rules import IdentityRules
from stgal_stream.core.identities.splitting import foreign_tracklets
from stgal_stream.core.tracker.site_tracker import SiteTracker
from stgal_stream.settings import TrackerSettings
from tests.support.episodes import ONE_PERSON, scorer_of, two_people
from tests.support.snapshots import reloaded
from tests.support.walk import simulated_walk

CAMERAS = st.lists(st.sampled_from("abc"), max_size=12)


@given(CAMERAS, CAMERAS)
def test_pairs_across_cameras_are_counted(first: list[str], second: list[str]) -> None:
    expected = sum(one != other for one in first for other in second)
    assert n_across(Counter(first), Counter(second)) == expected


def test_nothing_is_said_where_nobody_was_joined() -> None:
    assert ExpectedPrecision().value is None


def test_a_doubtful_join_makes_all_pairs_across_it_doubtful() -> None:
    precision = ExpectedPrecision()
    precision.add(10, 40.0)
    assert precision.value == pytest.approx(1.0)
    precision.add(30, 0.0)
    assert precision.value == pytest.approx(25 / 40)


@pytest.mark.parametrize("seed", range(5))
def test_one_persons_sightings_are_counted_once_and_sure(seed: int) -> None:
    scorer = scorer_of(two_people(0.0, seed), ONE_PERSON)
    registry = IdentityRegistry(scorer.gallery, "site")
    registry.create(0)
    for number in range(1, 36):
        registry.join(number, registry.slot_of(0))
    rules, precision = IdentityRules(registry, scorer, min_log_odds=1.5), ExpectedPrecision()
    assert not list(foreign_tracklets(rules, precision))
    cameras = [scorer.gallery[n].camera for n in range(36)]
    assert precision.n_pairs == sum(cameras[i] != cameras[k] for i in range(36) for k in range(i))
    assert precision.value is not None
    assert precision.value > 0.95


def test_every_pair_that_identities_hold_is_judged_at_a_calibration() -> None:
    """Also those of identities that it merges; and a snapshot knows it."""
    tracker = SiteTracker("site", TrackerSettings())
    n_calibrations = 0
    for detection in simulated_walk(3, n_people=60):
        tracker.observe(detection)
        window = tracker.window
        if window.n_calibrations == n_calibrations:
            continue
        n_calibrations = window.n_calibrations
        held = 0
        for slot in window.identities.slots:
            cameras = [window.gallery[n].camera for n in window.identities[slot].members]
            held += sum(one != other for i, one in enumerate(cameras) for other in cameras[:i])
        # A step or two of joins may have followed.
        assert 0.8 * held - 4 < window.resolver.precision.n_pairs <= held
    assert n_calibrations > 3
    assert window.resolver.precision.value is not None
    again = reloaded(tracker)
    assert again.window.resolver.precision == window.resolver.precision
