"""Merges after a calibration, against average linkage by brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgal_stream.core.calibration.pair_histogram import N_DISTANCE_BINS
from stgal_stream.core.identities.registry import IdentityRegistry
from stgal_stream.core.identities.revision import LinkageTable
from stgal_stream.core.identities.rules import IdentityRules
from stgal_stream.core.matching.pair_scorer import PairScorer
from tests.support.episodes import Seen, scorer_of

LEAST = 1.0
Groups = list[list[int]]


def _site(seed: int) -> tuple[PairScorer, Groups]:
    """Sightings of a few people who look alike by degrees, and identities that know little."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(6, 20))
    centres = rng.normal(size=(5, 3)) * 8.0
    seen: list[Seen] = [
        ("ab"[int(rng.integers(2))], 7.0 * k, centres[rng.integers(5)] + rng.normal(size=3) * 2.0)
        for k in range(n)
    ]
    # With time, log odds go beyond the limit of a single measurement.
    scorer = scorer_of(seen, None, 8.0 - 6.0 * np.arange(N_DISTANCE_BINS, dtype=np.float64))
    of = rng.integers(0, n, n) if rng.random() < 0.5 else np.arange(n)
    groups = [np.flatnonzero(of == k).tolist() for k in range(n)]
    return scorer, sorted(group for group in groups if group)


def _log_odds(scorer: PairScorer, one: list[int], other: list[int]) -> float:
    scores = dict(scorer.rows(one))
    mean = np.mean([scores[i].log_appearance[j] for i in one for j in other])
    _, i, j = min((scores[i].times_s[j], i, j) for i in one for j in other)
    return float(mean + scores[i].log_time[j])


def _by_brute_force(scorer: PairScorer, groups: Groups) -> Groups:
    groups = [list(group) for group in groups]
    while len(groups) > 1:
        pairs = list(itertools.combinations(range(len(groups)), 2))
        log_odds = [_log_odds(scorer, groups[i], groups[j]) for i, j in pairs]
        best = int(np.argmax(log_odds))
        if log_odds[best] <= LEAST:
            break
        i, j = pairs[best]
        groups[i] = sorted(groups[i] + groups.pop(j))
    return sorted(groups)


@given(st.integers(0, 10_000))
def test_what_merges_is_what_average_linkage_over_all_pairs_merges(seed: int) -> None:
    scorer, groups = _site(seed)
    registry = IdentityRegistry(scorer.gallery, "site")
    for group in groups:
        registry.create(group[0])
        for number in group[1:]:
            registry.join(number, registry.slot_of(group[0]))
    wanted = _by_brute_force(scorer, groups)
    table = LinkageTable(IdentityRules(registry, scorer, min_log_odds=LEAST))
    scored = [block for block, _ in table.fill(at_once=4)]  # an identity is in several blocks
    for first, second, log_odds in table.merges():
        members = registry[first].members, registry[second].members
        assert log_odds == pytest.approx(_log_odds(scorer, *members), abs=0.01)
        registry.merge(first, second)
    assert sorted(registry[slot].members for slot in registry.slots) == wanted
    turn = {number: k for k, number in enumerate(table.order)}
    pairs = [(i, j) for block in scored for i in block.rows for j in block.others]
    assert sum(turn[i] < turn[j] for i, j in pairs) == len(turn) * (len(turn) - 1) // 2


def test_of_two_very_likely_pairs_the_likelier_merges() -> None:
    """Both sums are beyond the limit of a single measurement; the other two were seen in one
    camera at one time."""
    looks = np.array([(1.0, 0.0, 0.0), (0.6, 0.8, 0.0), (0.9, 0.436, 0.0)])
    seen: list[Seen] = [("a", 0.0, looks[0]), ("b", 20.0, looks[1]), ("b", 20.0, looks[2])]
    scorer = scorer_of(seen, None, 8.0 - 6.0 * np.arange(N_DISTANCE_BINS, dtype=np.float64))
    registry = IdentityRegistry(scorer.gallery, "site")
    for number in range(3):
        registry.create(number)
    table = LinkageTable(IdentityRules(registry, scorer, min_log_odds=LEAST))
    assert [block.rows.tolist() for block, _ in table.fill()] == [[0, 1, 2]]
    first, second, _ = next(table.merges())
    assert (first, second) == (registry.slot_of(0), registry.slot_of(2))
