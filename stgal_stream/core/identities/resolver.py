"""Resolves identities: turns decisions into changes of the registry, and into events.

A new tracklet is identified when it settles; after a calibration all identities are revised.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from stgal_stream.core.calibration.model import Scores
from stgal_stream.core.identities.chains import chain_of, chains_to_merge
from stgal_stream.core.identities.registry import IdentityRegistry
from stgal_stream.core.identities.revision import LinkageTable, better_identity
from stgal_stream.core.identities.rules import IdentityRules
from stgal_stream.core.identities.splitting import foreign_segments
from stgal_stream.core.matching.evidence import evidence_from, pair_evidence
from stgal_stream.core.matching.pair_scorer import PairScorer
from stgal_stream.settings import TrackerSettings
from stgal_stream.types import Evidence, IdentityEvent, Pair


class IdentityResolver:
    """The identities of one site: who is who, by the scores of one scorer."""

    def __init__(self, site: str, settings: TrackerSettings, scorer: PairScorer) -> None:
        self.scorer = scorer
        self.gallery = scorer.gallery
        self.registry = IdentityRegistry(scorer.gallery, site)
        self.rules = IdentityRules(self.registry, scorer, min_log_odds=settings.min_log_odds)
        # The paper knows pairs only: its identities are the chains of accepted pairs.
        self.by_chains = settings.method == "paper"

    def identify(
        self, number: int, before: int | None, scores: Scores, added: set[Pair], at_s: float
    ) -> list[IdentityEvent]:
        """The identity of a tracklet that has settled, and the merges that it brings. ``before`` is
        the part of the same camera track before it, ``scores`` are its own against all before it,
        ``added`` the pairs accepted in this step."""
        tracklet = self.gallery[number]
        slot = self._slot_of_track(number, before)
        others: list[int] = []
        if slot is None and self.by_chains:
            slot = chain_of(self.rules, number, scores, added)
        elif slot is None:
            found = self.rules.candidates(number, scores)
            slot = found[0].slot if found else None
            others = [candidate.slot for candidate in found[1:]]
        if slot is None:
            identity = self.registry.create(number)
            return [IdentityEvent("created", at_s, identity.global_id, tracklet=tracklet)]
        evidence = self._evidence(number, slot, scores)
        identity = self.registry.join(number, slot)
        joined = IdentityEvent("joined", at_s, identity.global_id, None, tracklet, evidence)
        return [joined, *self._merge_into(number, others, at_s)]

    def _slot_of_track(self, number: int, before: int | None) -> int | None:
        """The identity of the same camera track's part before."""
        if before is None:
            return None
        slot = self.registry.slot_of(before)
        return None if slot in self.rules.forbidden_to(number) else slot

    def _evidence(self, number: int, slot: int, scores: Scores) -> Evidence | None:
        """The best pair that ties a tracklet to an identity, beside the best outside it."""
        if self.scorer.calibration is None:
            return None
        slots = self.gallery.slots[: len(scores.p_association)]
        ranked = np.nan_to_num(scores.log_odds, nan=-np.inf)
        ranked = scores.p_association if self.by_chains else ranked
        inside, outside = (np.flatnonzero(m) for m in (slots == slot, slots != slot))
        partner = int(inside[np.argmax(ranked[inside])])
        first = self.gallery.first
        runner_up = None
        if outside.size and scores.p_association[outside].max() > 0:
            runner_up = int(outside[np.argmax(scores.p_association[outside])]) + first
        return evidence_from(self.scorer, number, partner + first, scores, runner_up)

    def _merge_into(self, number: int, others: list[int], at_s: float) -> list[IdentityEvent]:
        """Merges identities that the new tracklet has shown to be one person."""
        events: list[IdentityEvent] = []
        for other in others:
            slot = self.registry.slot_of(number)
            if self.rules.are_one(slot, other, self.scorer.one):
                events.append(self._merge(slot, other, at_s))
        return events

    def merge_chains(self, pairs: set[Pair], at_s: float) -> list[IdentityEvent]:
        """Merges the identities that accepted pairs tie together (the paper's)."""
        return [self._merge(*slots, at_s) for slots in chains_to_merge(self.rules, pairs)]

    def revise(self, table: LinkageTable, at_s: float) -> list[IdentityEvent]:
        """Merges and corrections after a calibration."""
        events = [self._merge(*slots, at_s) for slots in table.merges()]
        for number in table.doubtful:
            events += self._correct(number, at_s)
        return events

    def split_all(self, at_s: float) -> list[IdentityEvent]:
        """Splits identities whose segments lie too far apart for one person."""
        calibration = self.scorer.calibration
        assert calibration is not None
        events: list[IdentityEvent] = []
        for slot in self.registry.slots:
            members = self.registry[slot].members
            for numbers in foreign_segments(members, self.gallery, calibration):
                events += self._split(numbers, at_s)
        return events

    def expire(
        self, numbers_and_slots: Iterable[tuple[int, int]], at_s: float
    ) -> list[IdentityEvent]:
        """Forgets tracklets that left the window; the ends of identities with them."""
        ended = self.registry.expire(numbers_and_slots)
        return [IdentityEvent("ended", at_s, identity.global_id) for identity in ended]

    def _merge(self, first: int, second: int, at_s: float) -> IdentityEvent:
        ends = [self.registry[slot].members[-1] for slot in (first, second)]
        evidence = pair_evidence(self.scorer, max(ends), min(ends))
        _, kept, absorbed = self.registry.merge(first, second)
        return IdentityEvent("renamed", at_s, kept.global_id, absorbed.global_id, evidence=evidence)

    def _split(self, numbers: list[int], at_s: float) -> list[IdentityEvent]:
        """Splits tracklets off their identity into a new one."""
        left, to = self.registry.split(numbers, at_s)
        return [
            IdentityEvent("renamed", at_s, to.global_id, left.global_id, self.gallery[number])
            for number in numbers
        ]

    def _correct(self, number: int, at_s: float) -> list[IdentityEvent]:
        """Moves a tracklet that clearly belongs to another identity."""
        slot = better_identity(self.rules, number)
        if slot is None:
            return []
        evidence = pair_evidence(self.scorer, number, self.registry[slot].members[-1])
        left = self.registry.move(number, slot)
        to, tracklet = self.registry[slot], self.gallery[number]
        return [IdentityEvent("renamed", at_s, to.global_id, left.global_id, tracklet, evidence)]
