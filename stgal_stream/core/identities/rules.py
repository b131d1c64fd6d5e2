"""What may join an identity, and what must stay apart. Decisions; no state of their own.

A tracklet joins, and two identities merge, only where

0. no operator said that they are two people (``constraints``),
1. they were not in one camera at one time (cannot-link, equation 2),
2. as groups they do not lie too far apart for one person (``group_mean``), and
3. the average linkage over all pairs favours one person (``linkage``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from stgal_stream.core.calibration.model import Scores
from stgal_stream.core.calibration.within_person import GroupMean, WithinPersonScatter
from stgal_stream.core.gallery.gallery import NO_SLOT
from stgal_stream.core.gallery.known_negatives import are_known_negatives, simultaneous_with
from stgal_stream.core.identities.constraints import Constraints
from stgal_stream.core.identities.group_mean import (
    are_too_far,
    group_log_ratio,
    group_mean,
    group_means,
    pair_log_ratio,
)
from stgal_stream.core.identities.linkage import Linkage
from stgal_stream.core.identities.registry import IdentityRegistry
from stgal_stream.core.matching.gated_scores import GatedScores
from stgal_stream.core.matching.pair_scorer import PairScorer
from stgal_stream.core.measures.log_odds import LOG_ODDS_LIMIT
from stgal_stream.types import Floats, Integers

ScoresOf = Callable[[int], Scores]
_MAX_MEANS = 4_096  # identities whose mean is remembered: 64 MB at 2,048 numbers each
_PAIR_NUMBERS = 1 << 20  # in float64, of the means that are compared at a time: 8 MB


@dataclass(frozen=True, slots=True)
class Candidate:
    """An identity (by slot) and the log odds, over all pairs, that something belongs to it."""

    slot: int
    log_odds: float


@dataclass(frozen=True, slots=True)
class _KnownMean:
    """The mean of an identity's members, in a generation of the gallery."""

    generation: int
    members: list[int]
    mean: GroupMean | None


def as_groups(log_ratio: Floats, log_prior: Floats, log_time: Floats) -> Floats:
    """Log odds of one person for groups: what their looks and cameras say, which is no more than a
    single measurement may, and what time says."""
    return np.asarray(np.minimum(log_ratio + log_prior, LOG_ODDS_LIMIT) + log_time)


class IdentityRules:
    """Judges tracklets and identities of one registry by the scores of one scorer."""

    def __init__(
        self, registry: IdentityRegistry, scorer: PairScorer, *, min_log_odds: float
    ) -> None:
        self.registry = registry
        self.constraints = Constraints(registry)
        self.scorer = scorer
        self.min_log_odds = min_log_odds
        self._means: dict[int, _KnownMean] = {}  # by slot, the one asked for last at the end

    @property
    def _scatter(self) -> WithinPersonScatter | None:
        calibration = self.scorer.calibration
        return None if calibration is None else calibration.scatter

    def _mean(self, slot: int) -> GroupMean | None:
        """An identity's."""
        return self._means_of([slot])[0]

    def _means_of(self, slots: Sequence[int]) -> list[GroupMean | None]:
        """Those of several identities, computed again only where something of one has changed."""
        found = {slot: known for slot in slots if (known := self._known(slot)) is not None}
        unknown = sorted(set(slots) - set(found))
        gallery = self.scorer.gallery
        members = [list(self.registry[slot].members) for slot in unknown]
        for slot, numbers, mean in zip(
            unknown, members, group_means(gallery, members), strict=True
        ):
            found[slot] = _KnownMean(gallery.generation, numbers, mean)
        for slot, known in found.items():
            self._means.pop(slot, None)
            self._means[slot] = known
        while len(self._means) > _MAX_MEANS:
            del self._means[next(iter(self._means))]
        return [found[slot].mean for slot in slots]

    def _known(self, slot: int) -> _KnownMean | None:
        """What was computed of an identity that has not changed since."""
        known = self._means.get(slot)
        if known is None or known.generation != self.scorer.gallery.generation:
            return None
        return known if known.members == self.registry[slot].members else None

    def candidates(self, number: int, scores: GatedScores) -> list[Candidate]:
        """Identities that a tracklet may belong to, the most probable as a group first. ``scores``
        are its own."""
        slots = self._possible(scores)
        if not slots:
            return []
        linkage = self._linkage(slots, scores)
        log_odds = linkage.log_odds.tolist()
        at = [k for k, each in enumerate(log_odds) if each > self.min_log_odds]
        forbidden = self.forbidden_to(number) if at else set()
        at = [k for k in at if slots[k] not in forbidden]
        if not at:
            return []
        own = group_mean(self.scorer.gallery, [number])
        means = self._means_of([slots[k] for k in at])
        too_far = are_too_far(self._scatter, own, means).tolist()
        near = [i for i, is_too_far in enumerate(too_far) if not is_too_far]
        if len(near) > 1:
            # Not limited as ``as_groups`` is: who is nearest is asked, not how surely.
            by_groups = group_log_ratio(self._scatter, own, means)
            by_groups += linkage.log_prior[at] + linkage.time[at]
            created = [self.registry[slots[k]].created for k in at]
            near.sort(key=lambda i: (-by_groups[i], -log_odds[at[i]], created[i]))
        return [Candidate(slots[at[i]], log_odds[at[i]]) for i in near]

    def _possible(self, scores: GatedScores) -> list[int]:
        """The identities (slots, ascending) that a tracklet with these scores may belong to, as one
        of their tracklets at least is alike enough. A mean is no more than the largest, and time
        adds no more than it does anywhere, so nothing is missed."""
        slots = set(self.scorer.gallery.slots[scores.alike(self.min_log_odds)].tolist())
        return sorted(slots - {NO_SLOT})

    def _linkage(self, slots: list[int], scores: GatedScores) -> Linkage:
        """The linkage (K,) of a tracklet with these scores with identities (K slots, ascending)."""
        gallery = self.scorer.gallery
        members = [n for slot in slots for n in self.registry[slot].members]
        rows = np.sort(np.array(members, np.int64)) - gallery.first
        rows = rows[: rows.searchsorted(scores.n)]
        return Linkage.of(scores.at(rows), np.searchsorted(slots, gallery.slots[rows]), len(slots))

    def are_one(self, first: int, second: int, scores: ScoresOf) -> bool:
        """Whether all that is known of two identities (slots) makes them one person.
        ``scores(number)`` are a tracklet's against the whole window."""
        if self.are_apart(first, second):
            return False
        gallery = self.scorer.gallery
        small, large = self.registry[first], self.registry[second]
        if len(small.members) > len(large.members):
            small, large = large, small
        chosen = np.full(len(gallery), NO_SLOT)
        chosen[np.array(large.members) - gallery.first] = 0
        linkage = Linkage.of(scores(small.members[0]), chosen, 1)
        for number in small.members[1:]:
            linkage.add(Linkage.of(scores(number), chosen, 1))
        return bool(linkage.log_odds[0] > self.min_log_odds)

    def log_odds_as_groups(self, pairs: Integers, log_prior: Floats, log_time: Floats) -> Floats:
        """(M,) log odds of one person for pairs (M, 2) of identities (slots) as groups, with what
        cameras and time say (M,)."""
        found, dim = np.full(len(pairs), -np.inf), self.scorer.gallery.embeddings.shape[1]
        size = max(1, _PAIR_NUMBERS // max(1, dim))
        for start in range(0, len(pairs), size):
            part = slice(start, start + size)
            slots, at = np.unique(pairs[part], return_inverse=True)
            means = self._means_of(slots.tolist())
            found[part] = pair_log_ratio(self._scatter, means, at.reshape(-1, 2))
        return as_groups(found, log_prior, log_time)

    def are_apart(self, first: int, second: int) -> bool:
        """Whether two identities (slots) are two people by an operator's word, were seen in one
        camera at one time, or lie too far apart for one person."""
        if self.constraints.are_apart(first, second):
            return True
        if are_too_far(self._scatter, self._mean(first), [self._mean(second)])[0]:
            return True
        gallery = self.scorer.gallery
        others = set(self.registry[second].members)
        return any(
            are_known_negatives(gallery[i], gallery[j])
            for i in self.registry[first].members
            for j in simultaneous_with(gallery, i) & others
        )

    def forbidden_to(self, number: int) -> set[int]:
        """Slots of the identities that a tracklet cannot be of."""
        gallery = self.scorer.gallery
        return self.constraints.forbidden_to(number) | {
            self.registry.slot_of(other)
            for other in simultaneous_with(gallery, number)
            if are_known_negatives(gallery[number], gallery[other])
        }
