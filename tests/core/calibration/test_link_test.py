"""The link test: every bet is fair, so a false link is as rare as it says."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from stgal_stream.core.calibration.link_test import (
    FALSE_LINK_CHANCE,
    BuddyTimes,
    LinkStatus,
    joint_evidence,
    link_evidence,
    link_test,
    most_telling,
    nearest_of,
)
from stgal_stream.core.calibration.time_grid import TimeGrid
from stgal_stream.types import Floats, Integers

GRID = TimeGrid()


def background(seed: int = 0) -> Floats:
    density = np.random.default_rng(seed).gamma(1.0, size=GRID.n) + 0.01
    return np.asarray(density / density.sum())


def facts(bins: Integers, n_equal: Integers | None = None) -> BuddyTimes:
    return BuddyTimes(bins, np.ones(len(bins), np.int64) if n_equal is None else n_equal)


@pytest.mark.parametrize("n_equal", [1, 2, 5, 40])
def test_the_law_of_the_nearest_is_that_of_the_smallest_of_so_many_draws(n_equal: int) -> None:
    g0, rng = background(), np.random.default_rng(1)
    found = nearest_of(g0, np.array([n_equal]))[0]
    assert found.sum() == pytest.approx(1.0)
    draws = rng.choice(GRID.n, (20_000, n_equal), p=g0).min(axis=1)
    seen = np.bincount(draws, minlength=GRID.n) / len(draws)
    assert np.abs(found - seen).max() < 0.015


@pytest.mark.parametrize("n", [3, 12, 60])
def test_a_stake_is_worth_one_in_the_mean_where_nobody_is_shared(n: int) -> None:
    """The e-value's law, by simulation; and its chance to reach 1/p is p at most (Ville)."""
    g0, rng = background(2), np.random.default_rng(n)
    counts = rng.integers(1, 6, n)
    laws = nearest_of(g0, counts)
    stakes, most = [], []
    for _ in range(3_000):
        bins = np.array([rng.choice(GRID.n, p=law) for law in laws])
        highest, mean = link_evidence(facts(bins, counts), g0)
        stakes.append(math.exp(mean))
        most.append(highest)
    assert np.mean(stakes) < 1.25
    for p in (0.1, 0.02):
        assert np.mean(np.array(most) >= -math.log(p)) <= p * 1.3


def test_six_people_who_take_the_same_time_are_a_link() -> None:
    """A trial of ten minutes: any two people are up to ten minutes apart."""
    times_s = np.abs(np.subtract.outer(np.arange(0, 600, 5.0), np.arange(0, 600, 5.0))).ravel()
    g0 = np.bincount(GRID.bins(times_s), minlength=GRID.n) + 0.5
    bins = GRID.bins([22.0, 25.0, 24.0, 27.0, 23.0, 26.0]).astype(np.int64)
    evidence = link_evidence(facts(bins), g0 / g0.sum())[0]
    assert link_test(facts(bins), evidence, 1) is LinkStatus.LINKED
    assert link_test(facts(bins[:2]), 0.0, 1) is LinkStatus.TOO_LITTLE_DATA


def test_poor_buddies_at_the_end_take_nothing_back() -> None:
    g0, rng = background(3), np.random.default_rng(0)
    good = np.full(12, int(GRID.bins(40.0)), np.int64)
    poor = rng.choice(GRID.n, 150, p=g0)
    alone = link_evidence(facts(good), g0)[0]
    assert link_evidence(facts(np.concatenate([good, poor])), g0)[0] >= alone


@pytest.mark.parametrize("n_cameras", [2, 3, 4, 5])
def test_the_joint_evidence_is_the_mean_over_all_trees_of_cameras(n_cameras: int) -> None:
    rng = np.random.default_rng(n_cameras)
    pairs = list(itertools.combinations([f"c{k}" for k in range(n_cameras)], 2))
    trees = [
        list(chosen)
        for chosen in itertools.combinations(range(len(pairs)), n_cameras - 1)
        if is_a_tree([pairs[k] for k in chosen])
    ]
    assert len(trees) == n_cameras ** (n_cameras - 2)
    for scale in (1.0, 10.0, 300.0):
        evidence = rng.normal(size=len(pairs)) * scale
        sums = [float(evidence[chosen].sum()) for chosen in trees]
        mean = float(np.logaddexp.reduce(sums) - math.log(len(trees)))
        assert joint_evidence(pairs, evidence) == pytest.approx(mean, abs=1e-9 * scale)


def is_a_tree(edges: list[tuple[str, str]]) -> bool:
    """Whether n - 1 edges reach n nodes: each joins two parts that were apart."""
    part = {name: name for edge in edges for name in edge}
    for a, b in edges:
        if part[a] == part[b]:
            return False
        part = {name: part[a] if label == part[b] else label for name, label in part.items()}
    return len(set(part.values())) == 1 and len(part) == len(edges) + 1


def test_a_pair_that_nothing_is_known_of_is_worth_its_stake() -> None:
    pairs = [("a", "b"), ("b", "c"), ("a", "c"), ("c", "d"), ("a", "d"), ("b", "d")]
    assert joint_evidence(pairs[:1], np.zeros(1)) == pytest.approx(0.0)
    assert joint_evidence(pairs, np.zeros(6)) == pytest.approx(0.0)
    assert joint_evidence(pairs[:4], np.full(4, 3.0)) == pytest.approx(
        joint_evidence(pairs, np.array([3.0, 3.0, 3.0, 3.0, 0.0, 0.0]))
    )


def test_a_camera_with_itself_is_independent_of_all_others() -> None:
    evidence = np.array([2.0, -1.0, 5.0])
    expected = np.log((1 + np.exp(evidence)) / 2).sum()
    assert joint_evidence([("a", "a"), ("b", "b"), ("c", "c")], evidence) == pytest.approx(expected)


def test_together_cameras_show_what_none_shows_alone() -> None:
    pairs = [("a", "b"), ("c", "d"), ("e", "f")]
    limit = -math.log(FALSE_LINK_CHANCE)
    alone = np.full(3, 0.6 * limit)
    assert alone.max() < limit < joint_evidence(pairs, alone)
    assert joint_evidence([], np.zeros(0)) == 0.0


def test_the_cameras_with_the_most_buddies_speak_for_a_wide_site() -> None:
    names = [f"c{k:03d}" for k in range(130)]
    pairs = [*itertools.pairwise(names), (names[5], names[5])]
    n_buddies = np.array([*np.arange(len(names) - 1, 0, -1), 0])
    kept = most_telling(pairs, n_buddies)
    assert kept.tolist() == [k < 99 or k == len(pairs) - 1 for k in range(len(pairs))]
    assert most_telling(pairs[:50], n_buddies[:50]).all()
    assert not len(most_telling([], np.zeros(0, np.int64)))
