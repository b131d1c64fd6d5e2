"""Revision: identities judged again after a calibration, with all evidence of the window.

Average linkage over whole identities first (merges; where the mean over all pairs is in doubt, the
two as groups decide), then single tracklets that clearly belong elsewhere (corrections). What
cannot be improved is left as it is, so ids are stable.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import numpy as np

from stgal_stream.core.calibration.model import Scores
from stgal_stream.core.identities.linkage import Linkage
from stgal_stream.core.identities.rules import IdentityRules
from stgal_stream.types import Floats, Integers

# A tracklet moves only where another identity is better by this much: moving is a rename, which
# costs those who listen more than a doubtful tracklet does.
_MOVE_MARGIN = 1.0
_DOUBT = 4.0  # so far under the log odds that a merge needs, the groups decide


class LinkageTable:
    """Linkage between all identities, filled tracklet by tracklet."""

    def __init__(self, rules: IdentityRules, n_slots: int) -> None:
        self.rules = rules
        self.doubtful: list[int] = []
        self._n_slots = n_slots
        self._in_doubt = rules.min_log_odds - _DOUBT
        self._linkages: dict[int, Linkage] = {}

    def add(self, number: int, scores: Scores, slots: Integers) -> None:
        """Adds one tracklet's scores against the whole window, whose tracklets have these slots."""
        registry = self.rules.registry
        linkage = Linkage.of(scores, slots, self._n_slots)
        own = registry.slot_of(number)
        if len(registry[own].members) > 1:
            log_odds = linkage.log_odds
            stay = log_odds[own] if linkage.n[own] else 0.0
            log_odds[own] = -np.inf
            if log_odds.max() > max(self.rules.min_log_odds, stay + _MOVE_MARGIN):
                self.doubtful.append(number)
        if own in self._linkages:
            self._linkages[own].add(linkage)
        else:
            self._linkages[own] = linkage

    def finish(self, slot: int) -> None:
        """All tracklets of an identity are in: forgets it unless it may merge with another."""
        may_merge = self._linkages[slot].log_odds > self._in_doubt
        may_merge[slot] = False
        if not may_merge.any():
            del self._linkages[slot]

    def merges(self) -> Iterator[tuple[int, int]]:
        """Pairs of slots to merge, the best linkage first; the second goes into the first.

        The caller merges between two ``next`` calls.
        """
        slots = [slot for slot in self.rules.registry.slots if slot in self._linkages]
        if not slots:
            return
        table = Linkage.between([self._linkages[slot] for slot in slots], np.array(slots))
        alive = np.ones(len(slots), bool)
        stamp = [0] * len(slots)
        heap = []
        log_odds = table.log_odds
        for i in range(len(slots) - 1):
            for j in self._agreeing(slots, i, log_odds[i], table.time[i], slice(i + 1, None)):
                heap.append((-float(log_odds[i, j]), i, j, 0, 0))
        heapq.heapify(heap)
        while heap:
            _, i, j, stamp_i, stamp_j = heapq.heappop(heap)
            if not (alive[i] and alive[j]) or (stamp[i], stamp[j]) != (stamp_i, stamp_j):
                continue
            if self.rules.are_apart(slots[i], slots[j]):
                continue
            yield slots[i], slots[j]
            alive[j] = False
            stamp[i] += 1
            table.merge(i, j)
            row = table.row(i)
            log_odds_i = np.where(alive, row.log_odds, -np.inf)
            log_odds_i[i] = -np.inf
            for k in self._agreeing(slots, i, log_odds_i, row.time, slice(None)):
                a, b = min(i, k), max(i, k)
                heapq.heappush(heap, (-float(log_odds_i[k]), a, b, stamp[a], stamp[b]))

    def _agreeing(
        self, slots: list[int], i: int, log_odds: Floats, log_time: Floats, among: slice
    ) -> list[int]:
        """Of some identities those with which one's linkage favours a merge or, where that is in
        doubt, the two as groups. ``slots`` are all identities', ``log_odds`` and ``log_time`` (S,)
        the linkage with each."""
        found = np.arange(len(slots))[among]
        found = found[log_odds[found] > self._in_doubt]
        in_doubt = found[log_odds[found] <= self.rules.min_log_odds]
        agree = self.rules.agree_as_groups(
            slots[i], [slots[k] for k in in_doubt.tolist()], log_time[in_doubt]
        )
        left: list[int] = np.setdiff1d(found, in_doubt[~agree], assume_unique=True).tolist()
        return left


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
    found = [c for c in rules.candidates(number, scores) if c.slot != own]
    return next((c.slot for c in found if c.log_odds > stay + _MOVE_MARGIN), None)
