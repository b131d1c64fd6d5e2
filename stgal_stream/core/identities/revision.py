"""Revision: identities judged again after a calibration, with all evidence of the window.

Average linkage over whole identities first (merges; where the mean over all pairs is in doubt, the
two as groups decide), then single tracklets that clearly belong elsewhere (corrections). What
cannot be improved is left as it is, so ids are stable.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stgal_stream.core.calibration.model import Odds
from stgal_stream.core.identities.linkage import Linkage
from stgal_stream.core.identities.rules import IdentityRules
from stgal_stream.core.matching.gated_scores import GatedScores
from stgal_stream.core.matching.pair_scorer import PairBlock
from stgal_stream.types import Floats, Integers

# A tracklet moves only where another identity is better by this much: moving is a rename, which
# costs those who listen more than a doubtful tracklet does.
MOVE_MARGIN = 1.0
IN_DOUBT = 4.0  # so far under the log odds that a merge needs, the groups decide
_ROWS = 256  # tracklets that are compared with others at a time
_COLUMNS = 4_096  # of those that are alone, compared with at a time: no copy of all embeddings
_PAIRS = 1 << 17  # in doubt, before the groups decide on them: 5 MB
_MAX_LINKAGES = 64  # of identities that have merged: 50 MB beside 20,000 others


@dataclass(frozen=True, slots=True)
class _InDoubt:
    """Pairs (M, 2) of identities (slots, the older first) that are in doubt at least: the log odds
    of their linkage and what cameras and time say of them, (M,) each."""

    slots: Integers
    log_odds: Floats
    prior: Floats
    time: Floats


# To merge next: minus log odds, the two identities by age, and what a pair in doubt holds.
_Merge = tuple[float, int, int, tuple[int, int], tuple[float, float]]


class LinkageTable:
    """Which identities may merge by the linkage between all of them, and which tracklets may belong
    elsewhere; to be filled once.

    Law: of two identities nothing is kept unless their linkage or the two as groups favour a
    merge. The linkage of one with all others is held while its tracklets come in, and for some
    that have merged. Of two tracklets that are alone the linkage is their pair's own.
    """

    def __init__(self, rules: IdentityRules) -> None:
        self.rules = rules
        self.doubtful: list[int] = []
        registry, self._n_slots = rules.registry, rules.registry.n_slots
        self._in_doubt = rules.min_log_odds - IN_DOUBT
        self._by_age = list(registry.slots)
        self._age = np.full(self._n_slots, -1)  # of each slot, the oldest 0; -1: of nobody
        self._age[self._by_age] = np.arange(len(self._by_age))
        alone = [slot for slot in self._by_age if len(registry[slot].members) == 1]
        self._is_alone = np.zeros(self._n_slots, bool)
        self._is_alone[alone] = True
        # Tracklets by identity, and those that are alone: for these half of the pairs is enough.
        several = [slot for slot in self._by_age if not self._is_alone[slot]]
        self._of_several = [n for slot in several for n in registry[slot].members]
        self._alone = [registry[slot].members[0] for slot in alone]
        self.order = self._of_several + self._alone
        self._open: Linkage | None = None  # of the identity whose tracklets come in
        self._in_doubt_now: list[_InDoubt] = []  # on which the groups have not decided yet
        self._n_in_doubt = 0
        self._next: list[_Merge] = []  # a heap from the first merge on
        self._merged: dict[int, Linkage] = {}  # by slot, those that merged last at the end
        self._n_merges = Counter[int]()

    def fill(self, at_once: int = _ROWS) -> Iterator[tuple[PairBlock, Odds]]:
        """Scores all pairs of the window, some tracklets at a time. Each pair is in a block whose
        row stands before the other one in ``order``; it may be in another as well."""
        several, alone, scorer = self._of_several, self._alone, self.rules.scorer
        slots, first = scorer.gallery.slots.copy(), scorer.gallery.first
        for start in range(0, len(several), at_once):
            for block in scorer.blocks(several[start : start + at_once]):
                odds = block.odds()
                self._add(block.rows + first, odds, slots)
                yield block, odds
        for start in range(0, len(alone), at_once):
            numbers = alone[start : start + at_once]
            for from_ in range(start, len(alone), _COLUMNS):
                later = np.array(alone[from_ : from_ + _COLUMNS]) - first
                for block in scorer.blocks(numbers, later):
                    odds = block.odds()
                    # As a linkage has them: those of ``odds`` are limited, which makes ties.
                    log_odds = odds.log_appearance + odds.log_time
                    own, others = slots[block.rows], slots[block.others]
                    self._note(own, others, log_odds, odds.log_prior, odds.log_time)
                    yield block, odds
        self._decide()

    def _add(self, numbers: Integers, odds: Odds, slots: Integers) -> None:
        """Adds the odds (B, N) of tracklets of several against the whole window, whose tracklets
        have these slots (N,). The tracklets of an identity come one after the other."""
        linkage = Linkage.of(odds, slots, self._n_slots)
        own = slots[numbers - self.rules.scorer.gallery.first]
        self._doubt(numbers, own, linkage)
        for run in np.split(np.arange(len(own)), np.flatnonzero(np.diff(own)) + 1):
            part, slot = linkage.row(run).total(), own[run[:1]]
            if self._open is None:
                self._open = part
            else:
                self._open.add(part)
            if numbers[run[-1]] == self.rules.registry[int(slot[0])].members[-1]:
                every = np.arange(self._n_slots)
                found = self._open.log_odds, self._open.log_prior, self._open.time
                self._note(slot, every, *(values[None] for values in found))
                self._open = None

    def _doubt(self, numbers: Integers, own: Integers, linkage: Linkage) -> None:
        """Notes which tracklets (M,) belong elsewhere rather than to their own identities (slots),
        from the linkage (M, S) of each."""
        log_odds, at = linkage.log_odds, np.arange(len(numbers))
        stay = np.where(linkage.n[at, own] > 0, log_odds[at, own], 0.0)
        log_odds[at, own] = -np.inf
        best = log_odds.max(axis=1)
        is_better = best > np.maximum(self.rules.min_log_odds, stay + MOVE_MARGIN)
        self.doubtful += numbers[is_better].tolist()

    def _note(
        self, own: Integers, others: Integers, log_odds: Floats, prior: Floats, time: Floats
    ) -> None:
        """Keeps whom some identities (M slots) are in doubt with among others (K slots), from their
        linkage (M, K): those that are younger, or alone beside several."""
        age, others_age = self._age[own][:, None], self._age[others]
        is_first = self._is_alone[others] > self._is_alone[own][:, None]
        is_first |= (others_age > age) & (self._is_alone[others] == self._is_alone[own][:, None])
        one, other = np.nonzero((log_odds > self._in_doubt) & is_first)
        pairs = self._by_their_age(own[one], others[other])
        at = one, other
        self._in_doubt_now.append(_InDoubt(pairs, log_odds[at], prior[at], time[at]))
        self._n_in_doubt += len(pairs)
        if self._n_in_doubt > _PAIRS:
            self._decide()

    def _decide(self) -> None:
        """Keeps of the pairs in doubt those that may merge."""
        found, self._in_doubt_now, self._n_in_doubt = self._in_doubt_now, [], 0
        self._next += self._agreeing(found)

    def _by_their_age(self, one: Integers, other: Integers) -> Integers:
        """(M, 2) pairs of slots, the older first."""
        pairs = np.stack([one, other], axis=1)
        is_younger = self._age[one] > self._age[other]
        pairs[is_younger] = pairs[is_younger, ::-1]
        return pairs

    def merges(self) -> Iterator[tuple[int, int, float]]:
        """Pairs of slots to merge, the best linkage first, and the log odds that they are one
        person, as pairs or as groups; the second goes into the first. To be asked once, after
        ``fill``.

        The caller has merged each when it asks for the next.
        """
        heap = self._next
        heapq.heapify(heap)
        while heap:
            by_pairs, older, younger, n_merges, about = heapq.heappop(heap)
            first, second = self._by_age[older], self._by_age[younger]
            if n_merges != self._merges_of(first, second) or self.rules.are_apart(first, second):
                continue
            pair, prior_and_time = np.array([[first, second]]), np.array(about)[:, None]
            as_groups = self.rules.log_odds_as_groups(pair, *prior_and_time)
            both = self._linkage_of(first), self._linkage_of(second)
            yield first, second, max(-by_pairs, float(as_groups[0]))
            for entry in self._agreeing([self._merge(first, second, both)]):
                heapq.heappush(heap, entry)

    def _merges_of(self, first: int, second: int) -> tuple[int, int]:
        return self._n_merges[first], self._n_merges[second]

    def _linkage_of(self, slot: int) -> Linkage:
        """(S,) of an identity with all, in memory of its own."""
        known = self._merged.pop(slot, None)
        if known is not None:
            return known
        scorer, members = self.rules.scorer, self.rules.registry[slot].members
        slots = scorer.gallery.slots
        parts = [
            Linkage.of(block.odds(), slots, self._n_slots).total()
            for block in scorer.blocks(members)
        ]
        for part in parts[1:]:
            parts[0].add(part)
        return parts[0]

    def _merge(self, first: int, second: int, both: tuple[Linkage, Linkage]) -> _InDoubt:
        """The second identity (slot) was merged into the first: whom they are in doubt with as one,
        by the linkage (S,) of each."""
        self._n_merges[first] += 1
        self._n_merges[second] += 1
        self._age[second] = -1
        merged, other = both
        merged.add(other)
        self._merged[first] = merged
        if len(self._merged) > _MAX_LINKAGES:
            del self._merged[next(iter(self._merged))]
        for linkage in self._merged.values():
            linkage.merge_columns(first, second)
        log_odds = merged.log_odds
        others = np.flatnonzero((log_odds > self._in_doubt) & (self._age >= 0))
        others = others[others != first]
        pairs = self._by_their_age(np.full(len(others), first), others)
        prior = merged.log_prior
        return _InDoubt(pairs, log_odds[others], prior[others], merged.time[others])

    def _agreeing(self, found: Sequence[_InDoubt]) -> list[_Merge]:
        """The pairs in doubt whose linkage favours a merge or, where it does not, the two as
        groups."""
        if not found:
            return []
        slots, log_odds, prior, time = (
            np.concatenate(parts)
            for parts in zip(*((f.slots, f.log_odds, f.prior, f.time) for f in found), strict=True)
        )
        agree = log_odds > self.rules.min_log_odds
        asked = np.flatnonzero(~agree)
        as_groups = self.rules.log_odds_as_groups(slots[asked], prior[asked], time[asked])
        agree[asked] = as_groups > self.rules.min_log_odds
        return [
            (-by_pairs, *ages, self._merges_of(*pair), (by_cameras, by_time))
            for pair, ages, by_pairs, by_cameras, by_time in zip(
                slots[agree].tolist(), self._age[slots[agree]].tolist(),
                log_odds[agree].tolist(), prior[agree].tolist(), time[agree].tolist(), strict=True,
            )
        ]  # fmt: skip


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
