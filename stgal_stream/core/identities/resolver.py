"""Resolves identities: turns decisions into changes of the registry, and into events.

A new tracklet is identified when it settles; after a calibration all identities are revised.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from stgal_stream.core.identities.chains import chain_of, chains_to_merge
from stgal_stream.core.identities.constraints import Constraints
from stgal_stream.core.identities.expected_precision import ExpectedPrecision, n_across
from stgal_stream.core.identities.parting import two_people
from stgal_stream.core.identities.registry import IdentityRegistry
from stgal_stream.core.identities.revision import LinkageTable, better_identity
from stgal_stream.core.identities.rules import IdentityRules
from stgal_stream.core.identities.splitting import foreign_tracklets
from stgal_stream.core.matching.evidence import evidence_from, pair_evidence
from stgal_stream.core.matching.gated_scores import GatedScores
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
        self.precision = ExpectedPrecision()  # as of the last calibration
        # The paper knows pairs only: its identities are the chains of accepted pairs.
        self.by_chains = settings.method == "paper"
        scorer.strangers = self.constraints.strangers

    @property
    def constraints(self) -> Constraints:
        """What operators said."""
        return self.rules.constraints

    def identify(
        self, number: int, before: int | None, scores: GatedScores, added: set[Pair], at_s: float
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
        is_compared = self.gallery.comparable[number - self.gallery.first]
        evidence = self._evidence(number, slot, scores) if is_compared else None
        identity = self.registry.join(number, slot)
        joined = IdentityEvent("joined", at_s, identity.global_id, None, tracklet, evidence)
        return [joined, *self._merge_into(number, others, at_s)]

    def _slot_of_track(self, number: int, before: int | None) -> int | None:
        """The identity of the same camera track's part before."""
        if before is None:
            return None
        slot = self.registry.slot_of(before)
        return None if slot in self.rules.forbidden_to(number) else slot

    def _evidence(self, number: int, slot: int, scores: GatedScores) -> Evidence | None:
        """The best pair that ties a tracklet to an identity, beside the best outside it."""
        if self.scorer.calibration is None:
            return None
        first = self.gallery.first
        inside = np.array(self.registry[slot].members) - first
        inside = np.sort(inside[inside < scores.n])
        of_inside = scores.at(inside)
        ranked = of_inside.p_association if self.by_chains else of_inside.log_odds
        partner = int(inside[np.argmax(np.nan_to_num(ranked, nan=-np.inf))])
        outside = scores.best(self.gallery.slots[scores.rows] != slot)
        runner_up = None if outside is None else (outside[0] + first, outside[1])
        return evidence_from(self.scorer, number, partner + first, scores, runner_up)

    def _merge_into(self, number: int, others: list[int], at_s: float) -> list[IdentityEvent]:
        """Merges identities that the new tracklet has shown to be one person."""
        events: list[IdentityEvent] = []
        for other in others:
            slot = self.registry.slot_of(number)
            if self.rules.are_one(slot, other, self.scorer.one):
                events.append(self._become_one(slot, other, at_s))
        return events

    def merge_chains(self, pairs: set[Pair], at_s: float) -> list[IdentityEvent]:
        """Merges the identities that accepted pairs tie together (the paper's)."""
        return [self._become_one(*slots, at_s) for slots in chains_to_merge(self.rules, pairs)]

    def revise(self, table: LinkageTable, at_s: float) -> list[IdentityEvent]:
        """Merges and corrections after a calibration."""
        events = []
        for first, second, log_odds in table.merges():
            self.precision.add(self._n_across(first, second), log_odds)
            events.append(self._become_one(first, second, at_s))
        for number in table.doubtful:
            events += self._correct(number, at_s)
        return events

    def split_all(self, at_s: float) -> list[IdentityEvent]:
        """Splits identities of several people, by all that is known now."""
        events: list[IdentityEvent] = []
        self.precision = ExpectedPrecision()
        for people in list(foreign_tracklets(self.rules, self.precision)):
            for numbers in people:
                events += self._split(numbers, at_s)
        return events

    def _n_across(self, first: int, second: int) -> int:
        cameras = (
            Counter(self.gallery[number].camera for number in self.registry[slot].members)
            for slot in (first, second)
        )
        return n_across(*cameras)

    def unite(self, numbers: list[int], at_s: float, correction: str) -> list[IdentityEvent]:
        """Obeys an operator's correction (its id): these tracklets are one person. Where some of
        their identities were said to be two people, only what was said to be theirs goes along."""
        events: list[IdentityEvent] = []
        for number in numbers[1:]:
            slot, other = (self.registry.slot_of(n) for n in (numbers[0], number))
            if slot == other:
                continue
            if self.constraints.are_apart(slot, other):
                for each in (numbers[0], number):
                    events += self._single_out(each, at_s, correction)
                slot, other = (self.registry.slot_of(n) for n in (numbers[0], number))
            events.append(self._merge(slot, other, at_s, correction=correction))
        self.constraints.unite(numbers)
        return events

    def _single_out(self, number: int, at_s: float, correction: str) -> list[IdentityEvent]:
        """Splits a tracklet and what is linked to it off its identity, if that may be."""
        slot = self.registry.slot_of(number)
        linked = [group for group in self.constraints.linked(slot) if number in group]
        leaving = sorted({number, *(n for group in linked for n in group)})
        is_anchored = not set(leaving).isdisjoint(self.constraints.anchored(slot))
        is_all = len(leaving) == len(self.registry[slot].members)
        if is_anchored or (is_all and not self.constraints.remembers(slot)):
            return []
        return self._split(leaving, at_s, correction)

    def part(
        self, first: list[int], second: list[int], at_s: float, correction: str
    ) -> list[IdentityEvent]:
        """Obeys an operator's correction (its id): the first tracklets are other people than the
        second. Of an identity of both the fewer tracklets leave."""
        self.constraints.part(first, second)
        events: list[IdentityEvent] = []
        one, other = ({self.registry.slot_of(n) for n in numbers} for numbers in (first, second))
        for slot in sorted(one & other):
            members = self.registry[slot].members
            spoken_of = (set(first).intersection(members), set(second).intersection(members))
            people = two_people(members, *spoken_of, self.constraints.linked(slot), self.scorer)
            anchored = set(self.constraints.anchored(slot))
            free = [person for person in people if anchored.isdisjoint(person)] or list(people)
            leaving = min(free, key=lambda person: (len(person), -person[0]))
            events += self._split(leaving, at_s, correction)
        return events

    def set_apart(self, numbers: list[int], at_s: float) -> list[IdentityEvent]:
        """Tracklets are no person: they get an identity of their own; the last event names it."""
        events: list[IdentityEvent] = []
        for slot in sorted({self.registry.slot_of(number) for number in numbers}):
            mine = [n for n in self.registry[slot].members if n in numbers]
            if len(mine) < len(self.registry[slot].members):
                events += self._split(mine, at_s, cause="static")
        for number in numbers[1:]:
            slots = self.registry.slot_of(numbers[0]), self.registry.slot_of(number)
            if slots[0] != slots[1]:
                events.append(self._merge(*slots, at_s))
        identity, newest = self.registry.of(numbers[0]), self.gallery[numbers[-1]]
        return [*events, IdentityEvent("static", at_s, identity.global_id, None, newest)]

    def expire(
        self, numbers_and_slots: Iterable[tuple[int, int]], at_s: float
    ) -> list[IdentityEvent]:
        """Forgets tracklets that left the window, or were erased; the ends of identities with
        them."""
        gone = list(numbers_and_slots)
        ended = self.registry.expire(gone)
        if len(self.constraints):
            for number, slot in gone:
                self.constraints.expire(number, slot)
            for slot in {slot for _, slot in gone if slot not in self.registry}:
                self.constraints.end(slot)
        return [IdentityEvent("ended", at_s, identity.global_id) for identity in ended]

    def _become_one(self, first: int, second: int, at_s: float) -> IdentityEvent:
        """Merges two identities by what their newest tracklets say."""
        ends = [self.registry[slot].members[-1] for slot in (first, second)]
        evidence = pair_evidence(self.scorer, max(ends), min(ends))
        return self._merge(first, second, at_s, evidence=evidence)

    def _merge(
        self,
        first: int,
        second: int,
        at_s: float,
        *,
        evidence: Evidence | None = None,
        correction: str | None = None,
    ) -> IdentityEvent:
        slot, kept, absorbed = self.registry.merge(first, second)
        self.constraints.merge(slot, second if slot == first else first)
        names = kept.global_id, absorbed.global_id
        return IdentityEvent("renamed", at_s, *names, None, evidence, correction)

    def _split(
        self, numbers: list[int], at_s: float, correction: str | None = None, cause: str = ""
    ) -> list[IdentityEvent]:
        """Splits tracklets off their identity into a new one."""
        before = self.registry.slot_of(numbers[0])
        left, to = self.registry.split(numbers, at_s, correction or cause)
        names = to.global_id, left.global_id
        events = [
            IdentityEvent("renamed", at_s, *names, self.gallery[number], None, correction)
            for number in numbers
        ]
        if not left.members:
            self.constraints.end(before)
            events.append(IdentityEvent("ended", at_s, left.global_id))
        return events

    def _correct(self, number: int, at_s: float) -> list[IdentityEvent]:
        """Moves a tracklet that clearly belongs to another identity."""
        slot = better_identity(self.rules, number)
        if slot is None:
            return []
        evidence = pair_evidence(self.scorer, number, self.registry[slot].members[-1])
        left = self.registry.move(number, slot)
        to, tracklet = self.registry[slot], self.gallery[number]
        return [IdentityEvent("renamed", at_s, to.global_id, left.global_id, tracklet, evidence)]
