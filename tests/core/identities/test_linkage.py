"""Average linkage against brute force, through merges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgal_stream.core.calibration.model import Odds
from stgal_stream.core.identities.linkage import Linkage
from stgal_stream.types import Integers


class Pairs:
    """Symmetric log odds, log time ratios and travel times of N tracklets in S slots."""

    def __init__(self, seed: int, n: int, n_slots: int) -> None:
        rng = np.random.default_rng(seed)
        self.slots = rng.integers(0, n_slots, n)
        self.appearance, self.time, self.prior, self.times_s = (
            np.triu(m, 1) + np.triu(m, 1).T
            for m in (*rng.normal(size=(3, n, n)), rng.random((n, n)) * 99)
        )
        np.fill_diagonal(self.appearance, np.nan)
        hidden = np.triu(rng.random((n, n)) < 0.2, 1)
        self.appearance[hidden | hidden.T] = np.nan

    def scores(self, i: int | Integers) -> Odds:
        return Odds(self.appearance[i], self.time[i], self.times_s[i], self.prior[i])

    def brute_prior(self, one: list[int], other: list[int]) -> float:
        known = [(i, j) for i in one for j in other if not np.isnan(self.appearance[i, j])]
        return float(np.mean([self.prior[p] for p in known])) if known else 0.0

    def brute(self, one: list[int], other: list[int]) -> float:
        known = [(i, j) for i in one for j in other if not np.isnan(self.appearance[i, j])]
        if not known:
            return -np.inf
        mean = np.mean([self.appearance[p] for p in known])
        nearest = min(known, key=lambda p: self.times_s[p])
        return float(mean + self.time[nearest])


@given(st.integers(0, 10_000), st.integers(4, 16), st.integers(2, 5))
def test_linkage_is_the_mean_over_all_pairs_and_the_nearest_time(
    seed: int, n: int, n_slots: int
) -> None:
    pairs = Pairs(seed, n, n_slots)
    members = [np.flatnonzero(pairs.slots == s).tolist() for s in range(n_slots)]
    slots = [s for s in range(n_slots) if members[s]]
    rows = []
    for slot in slots:
        each = [Linkage.of(pairs.scores(n), pairs.slots, n_slots) for n in members[slot]]
        one_by_one = each[0]
        for row in each[1:]:
            one_by_one.add(row)
        at = np.array(members[slot])
        together = Linkage.of(pairs.scores(at), pairs.slots, n_slots).total()
        assert together.log_odds == pytest.approx(one_by_one.log_odds)
        rows.append(together)
    groups = [members[s] for s in slots]
    for one, row in zip(groups, rows, strict=True):
        for slot, other in zip(slots, groups, strict=True):
            if one != other:
                assert row.log_odds[slot] == pytest.approx(pairs.brute(one, other))
                assert row.log_prior[slot] == pytest.approx(pairs.brute_prior(one, other))
    if len(groups) > 2:
        rows[0].add(rows[1])
        for row in rows[2:]:
            row.merge_columns(slots[0], slots[1])
        for k, other in enumerate(groups[2:], start=2):
            both = pytest.approx(pairs.brute(groups[0] + groups[1], other))
            assert rows[0].log_odds[slots[k]] == both
            assert rows[k].log_odds[slots[0]] == both
