"""Revision: identities judged again after a calibration, with all evidence of the window.

Average linkage over whole identities first (merges; where the mean over all pairs is in doubt, the
two as groups decide), then single tracklets that clearly belong elsewhere (corrections). What
cannot be improved is left as it is, so ids are stable.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import numpy as np

from stgal_stream.core.calibration.model import Odds
from stgal_stream.core.identities.linkage import Linkage
from stgal_stream.core.identities.rules import IdentityRules
from stgal_stream.core.matching.gated_scores import GatedScores
from stgal_stream.types import Integers

# A tracklet moves only where another identity is better by this much: moving is a rename, which
# costs those who listen more than a doubtful tracklet does.
MOVE_MARGIN = 1.0
IN_DOUBT = 4.0  # so far under the log odds that a merge needs, the groups decide


class LinkageTable:
    """Linkage between all identities, filled tracklet by tracklet."""

    def __init__(self, rules: IdentityRules, n_slots: int) -> None:
        self.rules = rules
        self.doubtful: list[int] = []
        self._n_slots = n_slots
        self._in_doubt = rules.min_log_odds - IN_DOUBT
        self._linkages: dict[int, Linkage] = {}

    def add(self, numbers: Integers, odds: Odds, slots: Integers) -> None:
        """Adds the odds (B, N) of some tracklets against the whole window, whose tracklets have
        these slots (N,). The tracklets of an identity come one after the other, in its order."""
        registry = self.rules.registry
        linkage = Linkage.of(odds, slots, self._n_slots)
        log_odds, at = linkage.log_odds, np.arange(len(numbers))
        own = slots[numbers - self.rules.scorer.gallery.first]
        stay = np.where(linkage.n[at, own] > 0, log_odds[at, own], 0.0)
        log_odds[at, own] = -np.inf
        best = log_odds.max(axis=1)
        is_better = best > np.maximum(self.rules.min_log_odds, stay + MOVE_MARGIN)
        for i, (number, slot) in enumerate(zip(numbers.tolist(), own.tolist(), strict=True)):
            members = registry[slot].members
            if len(members) == 1:
                if best[i] > self._in_doubt:
                    self._linkages[slot] = linkage.row(i).copy()
                continue
            if is_better[i]:
                self.doubtful.append(number)
            self._add_member(slot, linkage.row(i), is_last=number == members[-1])

    def _add_member(self, slot: int, linkage: Linkage, *, is_last: bool) -> None:
        """Adds a tracklet of several of an identity; when all are in, forgets the identity unless
        it may merge with another."""
        if slot in self._linkages:
            self._linkages[slot].add(linkage)
        else:
            self._linkages[slot] = linkage.copy()
        if is_last:
            may_merge = self._linkages[slot].log_odds > self._in_doubt
            may_merge[slot] = False
            if not may_merge.any():
                del self._linkages[slot]

    def merges(self) -> Iterator[tuple[int, int, float]]:
        """Pairs of slots to merge, the best linkage first, and the log odds that they are one
        person, as pairs or as groups; the second goes into the first.

        The caller merges between two ``next`` calls.
        """
        slots = [slot for slot in self.rules.registry.slots if slot in self._linkages]
        if not slots:
            return
        table = Linkage.between([self._linkages[slot] for slot in slots], np.array(slots))
        alive = np.ones(len(slots), bool)
        stamp = [0] * len(slots)
        log_odds = table.log_odds
        pairs = self._agreeing(slots, np.argwhere(np.triu(log_odds > self._in_doubt, 1)), table)
        heap = [(-float(log_odds[i, j]), i, j, 0, 0) for i, j in pairs]
        heapq.heapify(heap)
        while heap:
            _, i, j, stamp_i, stamp_j = heapq.heappop(heap)
            if not (alive[i] and alive[j]) or (stamp[i], stamp[j]) != (stamp_i, stamp_j):
                continue
            if self.rules.are_apart(slots[i], slots[j]):
                continue
            one = table.at(np.array([[i, j]]))
            as_groups = self.rules.log_odds_as_groups(np.array([[slots[i], slots[j]]]), one.time)
            yield slots[i], slots[j], float(max(one.log_odds[0], as_groups[0]))
            alive[j] = False
            stamp[i] += 1
            table.merge(i, j)
            log_odds_i = np.where(alive, table.row(i).log_odds, -np.inf)
            log_odds_i[i] = -np.inf
            near = np.flatnonzero(log_odds_i > self._in_doubt)
            others = np.stack([np.full(len(near), i), near], axis=1)
            for _, k in self._agreeing(slots, others, table):
                a, b = min(i, k), max(i, k)
                heapq.heappush(heap, (-float(log_odds_i[k]), a, b, stamp[a], stamp[b]))

    def _agreeing(self, slots: list[int], pairs: Integers, table: Linkage) -> list[tuple[int, int]]:
        """Of pairs (M, 2) of identities, rows of the linkage, those whose linkage favours a merge
        or, where that is in doubt, the two as groups."""
        agree = table.at(pairs).log_odds > self.rules.min_log_odds
        in_doubt = np.flatnonzero(~agree)
        asked = pairs[in_doubt]
        log_time = table.at(asked).time
        as_groups = self.rules.log_odds_as_groups(np.array(slots)[asked], log_time)
        agree[in_doubt] = as_groups > self.rules.min_log_odds
        return [(i, j) for i, j in pairs[agree].tolist()]


def better_identity(rules: IdentityRules, number: int) -> int | None:
    """The slot to which a tracklet clearly belongs rather than to its own identity, if any."""
    registry = rules.registry
    if len(registry.of(number).members) < 2 or rules.constraints.is_linked(number):
        return None
    scores = rules.scorer.one(number)
    own = registry.slot_of(number)
    slots = rules.scorer.gallery.slots
    linkage = Linkage.of(scores, slots, int(slots.max()) + 1)
    stay = float(linkage.log_odds[own]) if linkage.n[own] else 0.0
    found = [c for c in rules.candidates(number, GatedScores.whole(scores)) if c.slot != own]
    return next((c.slot for c in found if c.log_odds > stay + MOVE_MARGIN), None)
