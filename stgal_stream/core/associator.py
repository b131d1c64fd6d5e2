"""Associates the tracklets of one site's window: pairs by best buddies, identities by evidence.

The laws. A pair is scored with the calibration in force; a new calibration scores the whole window
anew. After every step the accepted pairs are those of the reference on the window's content.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np

from stgal_stream.core.accepted_pairs import AcceptedPairs
from stgal_stream.core.best_buddies import Pair
from stgal_stream.core.calibration import Scores, calibrate, calibrate_paper
from stgal_stream.core.calibration_history import CalibrationHistory
from stgal_stream.core.company import Company, Partners
from stgal_stream.core.gallery import Gallery
from stgal_stream.core.identities import Identities
from stgal_stream.core.online_buddies import OnlineBuddies
from stgal_stream.core.passages import strangers_in
from stgal_stream.core.reassessment import LinkageTable, better_identity
from stgal_stream.core.scorer import Scorer
from stgal_stream.core.tracklets import OpenTracklet
from stgal_stream.core.visual import are_known_negatives
from stgal_stream.types import (
    AssociationEvent,
    Event,
    Evidence,
    IdentityEvent,
    TrackerSettings,
    Tracklet,
)

_NO_SCORES: Mapping[int, Scores] = MappingProxyType({})


class Associator:
    """The window of one site and everything known about its tracklets."""

    def __init__(self, site: str, settings: TrackerSettings) -> None:
        self.settings = settings
        self.gallery = Gallery()
        self.scorer = Scorer(self.gallery)
        self.identities = Identities(self.scorer, site, least_log_odds=settings.least_log_odds)
        self.buddies = OnlineBuddies(self.scorer.association_row)
        self.accepted = AcceptedPairs()
        self.company = Company()
        self.n_calibrations = 0
        self.n_until_calibration = settings.first_calibration
        self.continued: dict[tuple[str, str], int] = {}
        self.history = CalibrationHistory()
        self._n_judged = 0
        self._n_conflicts = 0

    @property
    def conflict_share(self) -> float:
        """Share of pairs accepted since the last calibration that conflict with a known negative:
        a tracklet's two partners were in one camera at one time, so one of the two is false."""
        return self._n_conflicts / self._n_judged if self._n_judged else 0.0

    def step(self, closed: list[OpenTracklet], at_s: float) -> list[Event]:
        """One step of event time: lets go of what the window holds no more, takes the tracklets
        that are complete, associates them and calibrates when it is time."""
        events = self._expire(at_s)
        new = dict(self._settle(done, at_s) for done in closed)
        gallery = self.gallery
        scores: dict[int, Scores] = {}
        for number, found in self.scorer.rows(list(new), until=True):
            scores[number] = found
            row = number - gallery.first
            self.buddies.insert(
                number,
                int(gallery.cameras[row]),
                gallery.numbers[:row],
                gallery.cameras[:row],
                found.p_association,
            )
            said = self.company.evidence(found.log_odds)
            gallery.company[row] = said.sum()
            gallery.company[:row] += said
        added, withdrawn = self.buddies.settle()
        events += self._publish(added, withdrawn, at_s, scores)
        for number, before in new.items():
            events += self._identify(number, before, scores[number], added, at_s)
        if self._by_chains:
            events += self._merge_chains(added, at_s)
        self.n_until_calibration -= len(new)
        if self.n_until_calibration <= 0 and new:
            events += self._recalibrate(at_s)
        return events

    def see_anew(self, at_s: float) -> list[Event]:
        """The window is in another extractor's version: calibrates on it, if it was before. Who is
        who stays as it is: identities are judged anew with the next calibration."""
        if self.scorer.calibration is None:
            return []
        self._calibrate()
        return self._judge_pairs(at_s)[0]

    def forget_all(self, at_s: float) -> list[Event]:
        """The window can be compared with nothing that comes, and what was learned in it says
        nothing about that: lets go of both."""
        self.scorer.calibration, self.company = None, Company()
        self.n_until_calibration = self.settings.first_calibration
        return self._expire(at_s, most=0)

    def _expire(self, at_s: float, most: int | None = None) -> list[Event]:
        labels, first = self.gallery.labels.copy(), self.gallery.first
        keep = self.settings.max_tracklets if most is None else most
        gone = self.gallery.expired(at_s - self.settings.window_s, keep)
        self.buddies.expire(gone)
        for number in gone:
            self.accepted.expire(number)
        ended = self.identities.expire((n, int(labels[n - first])) for n in gone)
        if gone:
            self.continued = {k: n for k, n in self.continued.items() if n in self.gallery}
        return [IdentityEvent("ended", at_s, identity.global_id) for identity in ended]

    def _part_before(self, done: OpenTracklet) -> int | None:
        """The part of the same camera track before this one, where a long track was cut."""
        if done.track_id is None:
            return None
        before = self.continued.get((done.camera, done.track_id))
        if before is None:
            return None
        gap_s = done.start_s - self.gallery[before].end_s
        return before if gap_s <= self.settings.tracklet_gap_s else None

    def _settle(self, done: OpenTracklet, at_s: float) -> tuple[int, int | None]:
        """The number of the tracklet, and that of its track's part before."""
        number, before = self.gallery.next, self._part_before(done)
        tracklet = Tracklet(
            number,
            done.camera,
            done.start_s,
            done.end_s,
            done.mean_embedding(),
            done.extractor,
            tuple(done.ids),
            done.track_id,
            done.box,
            done.position,
            None if before is None else self.gallery[before].since_s,
        )
        self.gallery.add(tracklet, at_s)
        if tracklet.track_id is not None:
            self.continued[tracklet.camera, tracklet.track_id] = number
        self.scorer.look(slice(len(self.gallery) - 1, None))
        return number, before

    def _publish(
        self,
        added: set[Pair],
        withdrawn: set[Pair],
        at_s: float,
        scores: Mapping[int, Scores] = _NO_SCORES,
    ) -> list[Event]:
        """Pseudo-pairs that came and went, the later tracklet as the query. ``scores`` are those
        of the tracklets that settled just now, by number."""
        events: list[Event] = []
        for pair, evidence in self._evidences(sorted(withdrawn), scores):
            self.accepted.withdraw(pair)
            query = self.gallery[pair[1]]
            events.append(AssociationEvent("withdrawn", at_s, query, evidence))
        for pair, evidence in self._evidences(sorted(added), scores):
            posterior = self._posterior(pair, evidence)
            self.accepted.accept(self.gallery[pair[0]], self.gallery[pair[1]], posterior)
            self._judge(pair)
            query = self.gallery[pair[1]]
            events.append(AssociationEvent("accepted", at_s, query, evidence))
        return events

    def _evidences(
        self, pairs: list[Pair], scores: Mapping[int, Scores]
    ) -> Iterator[tuple[Pair, Evidence]]:
        """What speaks for each pair: read off the later one's scores where it has just settled."""
        older = [pair for pair in pairs if pair[1] not in scores]
        scored = dict(
            zip(older, self.scorer.pair_evidences([pair[::-1] for pair in older]), strict=True)
        )
        for pair in pairs:
            yield pair, scored.get(pair) or self.scorer.evidence(pair[1], pair[0], scores[pair[1]])

    def _posterior(self, pair: Pair, evidence: Evidence) -> float:
        """The probability that a pair is one person, both members' other candidates asked."""
        gallery = self.gallery
        first, second = (gallery.company[[number - gallery.first]] for number in pair)
        return float(self.company.posterior(np.array([evidence.log_odds]), first, second)[0])

    def _judge(self, pair: Pair) -> None:
        self._n_judged += 1
        self._n_conflicts += any(
            are_known_negatives(self.gallery[mine], self.gallery[other])
            for mine, partner in (pair, pair[::-1])
            for other in self.accepted.partners(partner)
            if other != mine
        )

    # --- identities --------------------------------------------------------------------------

    @property
    def _by_chains(self) -> bool:
        """The paper knows pairs only: its identities are the chains of accepted pairs."""
        return self.settings.setting == "paper"

    def _identify(
        self, number: int, before: int | None, scores: Scores, added: set[Pair], at_s: float
    ) -> list[Event]:
        tracklet = self.gallery[number]
        label = self._track_continued(number, before)
        others: list[int] = []
        if label is None and self._by_chains:
            label = self._chain_of(number, scores, added)
        elif label is None:
            found = self.identities.candidates(number, scores)
            label = found[0].label if found else None
            others = [c.label for c in found[1:]]
        if label is None:
            identity = self.identities.create(number)
            return [IdentityEvent("created", at_s, identity.global_id, tracklet=tracklet)]
        evidence = self._evidence(number, label, scores)
        identity = self.identities.join(number, label)
        joined = IdentityEvent("joined", at_s, identity.global_id, None, tracklet, evidence)
        return [joined, *self._merge_into(number, others, at_s)]

    def _track_continued(self, number: int, before: int | None) -> int | None:
        """The identity of the same camera track's part before."""
        if before is None:
            return None
        label = self.identities.label_of(before)
        return None if label in self.identities.forbidden_to(number) else label

    def _evidence(self, number: int, label: int, scores: Scores) -> Evidence | None:
        """The best pair that ties a tracklet to an identity, beside the best outside it."""
        if self.scorer.calibration is None:
            return None
        labels = self.gallery.labels[: len(scores.p_association)]
        ranked = np.nan_to_num(scores.log_odds, nan=-np.inf)
        ranked = scores.p_association if self._by_chains else ranked
        inside, outside = (np.flatnonzero(m) for m in (labels == label, labels != label))
        partner = int(inside[np.argmax(ranked[inside])])
        first = self.gallery.first
        runner_up = None
        if outside.size and scores.p_association[outside].max() > 0:
            runner_up = int(outside[np.argmax(scores.p_association[outside])]) + first
        return self.scorer.evidence(number, partner + first, scores, runner_up)

    def _merge_into(self, number: int, others: list[int], at_s: float) -> list[Event]:
        """Merges identities that the new tracklet has shown to be one person."""
        events: list[Event] = []
        for other in others:
            label = self.identities.label_of(number)
            if self.identities.are_one(label, other, self.scorer.one):
                events.append(self._merge(label, other, at_s))
        return events

    def _merge(self, first: int, second: int, at_s: float) -> IdentityEvent:
        ends = [self.identities[label].members[-1] for label in (first, second)]
        evidence = self.scorer.pair_evidence(max(ends), min(ends))
        _, kept, absorbed = self.identities.merge(first, second)
        return IdentityEvent("renamed", at_s, kept.global_id, absorbed.global_id, evidence=evidence)

    def _chain_of(self, number: int, scores: Scores, added: set[Pair]) -> int | None:
        forbidden = self.identities.forbidden_to(number)
        first = self.gallery.first
        partners = [i for i, j in added if j == number]
        partners.sort(key=lambda i: (-scores.p_association[i - first], i))
        labels = [self.identities.label_of(i) for i in partners]
        return next((label for label in labels if label not in forbidden), None)

    def _merge_chains(self, added: set[Pair], at_s: float) -> list[Event]:
        events: list[Event] = []
        for i, j in sorted(added):
            first, second = self.identities.label_of(i), self.identities.label_of(j)
            if first != second and not self.identities.are_apart(first, second):
                events.append(self._merge(first, second, at_s))
        return events

    # --- calibration -------------------------------------------------------------------------

    def _recalibrate(self, at_s: float) -> list[Event]:
        """A new travel-time version: every pair and every identity is judged anew."""
        self._calibrate()
        if self._by_chains:
            events, _ = self._judge_pairs(at_s)
            return events + self._merge_chains(self.buddies.accepted, at_s)
        events = self._part_all(at_s)
        found, table = self._judge_pairs(at_s)
        events += found
        for first, second in table.merges():
            events.append(self._merge(first, second, at_s))
        for number in table.doubtful:
            events += self._correct(number, at_s)
        return events

    def _calibrate(self) -> None:
        self.n_calibrations += 1
        self._n_judged = self._n_conflicts = 0
        version = f"{self.gallery[self.gallery.first].extractor}/{self.n_calibrations}"
        estimate = calibrate_paper if self._by_chains else calibrate
        calibration = estimate(self.gallery, self.settings, version)
        self.scorer.use(calibration)
        growth = math.ceil(self.settings.calibration_growth * len(self.gallery))
        self.n_until_calibration = max(self.settings.first_calibration // 2, growth)

    def _judge_pairs(self, at_s: float) -> tuple[list[Event], LinkageTable]:
        """Every pair is judged anew under the calibration in force; what it says of identities."""
        assert self.scorer.calibration is not None
        table = self._score_anew()
        before, now = self.accepted.pairs, self.buddies.accepted
        events = self._publish(now - before, before - now, at_s)
        self.history.note(at_s, self.scorer.calibration, self.accepted)
        return events, table

    def _score_anew(self) -> LinkageTable:
        """Fills fresh rankings and the linkage of all identities, one pass over all pairs."""
        gallery, identities = self.gallery, self.identities
        self.buddies = OnlineBuddies(self.scorer.association_row)
        labels = gallery.labels.copy()
        table = LinkageTable(identities, int(labels.max()) + 1, self.settings.least_log_odds)
        numbers = [n for label in identities.labels for n in identities[label].members]
        done = np.zeros(len(gallery), bool)
        partners = Partners.of(len(gallery))
        for number, scores in self.scorer.rows(numbers):
            row = number - gallery.first
            self.buddies.insert(
                number,
                int(gallery.cameras[row]),
                gallery.numbers[done],
                gallery.cameras[done],
                scores.p_association[done],
            )
            done[row] = True
            partners.ask(row, scores.log_odds)
            table.add(number, scores, labels)
            if identities.of(number).members[-1] == number:
                table.finish(int(labels[row]))
        self.company, gallery.company[:] = partners.fit(gallery.known)
        self.buddies.settle()
        return table

    def _part_all(self, at_s: float) -> list[Event]:
        """Parts identities whose passages lie too far apart for one person."""
        events: list[Event] = []
        for label in self.identities.labels:
            for numbers in strangers_in(self.identities[label].members, self.scorer):
                events += self._part(numbers, at_s)
        return events

    def _part(self, numbers: list[int], at_s: float) -> list[Event]:
        """Parts tracklets from their identity: a new one is theirs."""
        left, to = self.identities.part(numbers)
        return [
            IdentityEvent("renamed", at_s, to.global_id, left.global_id, self.gallery[number])
            for number in numbers
        ]

    def _correct(self, number: int, at_s: float) -> list[Event]:
        """Moves a tracklet that clearly belongs to another identity."""
        label = better_identity(self.identities, self.scorer, number)
        if label is None:
            return []
        partner = self.identities[label].members[-1]
        evidence = self.scorer.pair_evidence(number, partner)
        left = self.identities.move(number, label)
        to = self.identities[label]
        tracklet = self.gallery[number]
        return [IdentityEvent("renamed", at_s, to.global_id, left.global_id, tracklet, evidence)]
