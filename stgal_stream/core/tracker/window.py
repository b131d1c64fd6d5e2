"""Associates the tracklets of one site's window: pairs by best buddies, identities by evidence.

Laws. A pair is scored with the calibration in force; a new calibration scores the whole window
again. After every step the accepted pairs are those of best-buddies search on the window's content.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from stgal_stream.core.calibration.calibrate import (
    calibrate,
    count_sightings,
    independent_sightings,
)
from stgal_stream.core.calibration.history import CalibrationHistory
from stgal_stream.core.calibration.model import Calibration
from stgal_stream.core.calibration.paper import calibrate_paper
from stgal_stream.core.gallery.gallery import NO_SLOT, Gallery, GalleryState
from stgal_stream.core.identities.constraints import ConstraintsState
from stgal_stream.core.identities.expected_precision import ExpectedPrecision
from stgal_stream.core.identities.registry import IdentityRegistry, RegistryState
from stgal_stream.core.identities.resolver import IdentityResolver
from stgal_stream.core.identities.revision import LinkageTable
from stgal_stream.core.matching.accepted_pairs import AcceptedPairs
from stgal_stream.core.matching.evidence import evidence_from, pair_evidences, posteriors
from stgal_stream.core.matching.gated_scores import GatedScores
from stgal_stream.core.matching.online_best_buddies import MemberState, OnlineBestBuddies
from stgal_stream.core.matching.pair_scorer import PairScorer
from stgal_stream.core.measures.log_odds import probability
from stgal_stream.core.tracker.cut_tracks import CutTracks
from stgal_stream.core.tracker.report import report
from stgal_stream.core.tracker.static_objects import StaticObjects, StillThing
from stgal_stream.core.tracklets.builder import TrackKey
from stgal_stream.core.tracklets.open_tracklet import OpenTracklet
from stgal_stream.settings import TrackerSettings
from stgal_stream.types import (
    AssociationEvent,
    CalibrationEvent,
    Event,
    Evidence,
    IdentityEvent,
    Mask,
    Pair,
    Tracklet,
    Vectors,
)

# A record of the log stays below a broker's usual limit of a megabyte, whatever the cameras.
_MAX_TOLD_PAIRS = 1000
_SMALL_WINDOW = 100  # tracklets: to calibrate on fewer takes milliseconds, and links are awaited
_NO_CANDIDATES = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
_NO_SCORES: Mapping[int, GatedScores] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class WindowState:
    """All that an ``AssociationWindow`` knows; accepted pairs as (i, j, posterior)."""

    gallery: GalleryState
    calibration: Calibration | None
    registry: RegistryState
    constraints: ConstraintsState
    precision: ExpectedPrecision
    buddies: list[MemberState]
    accepted: list[tuple[int, int, float]]
    history: CalibrationHistory
    continued: dict[TrackKey, int]
    still_things: list[StillThing]
    n_calibrations: int
    n_until_calibration: int
    n_judged: int
    n_conflicts: int


class AssociationWindow:
    """The window of one site and everything known about its tracklets."""

    def __init__(self, site: str, settings: TrackerSettings) -> None:
        self._build(site, settings, Gallery(), None)
        self.accepted = AcceptedPairs()
        self.history = CalibrationHistory()
        self.n_calibrations = 0
        self.n_until_calibration = settings.first_calibration
        self._cut_tracks = CutTracks()
        self._n_judged = 0
        self._n_conflicts = 0

    def _build(
        self,
        site: str,
        settings: TrackerSettings,
        gallery: Gallery,
        calibration: Calibration | None,
    ) -> None:
        self.settings = settings
        self.gallery = gallery
        self.scorer = PairScorer(gallery, calibration)
        self.resolver = IdentityResolver(site, settings, self.scorer)
        self.buddies = OnlineBestBuddies(self.scorer.association_row)
        self.static_objects = StaticObjects(gallery, settings)

    @property
    def identities(self) -> IdentityRegistry:
        """Who is who."""
        return self.resolver.registry

    @property
    def conflict_share(self) -> float:
        """Share of pairs accepted since the last calibration that conflict with a known negative:
        a tracklet's two partners were in one camera at one time, so one of the two is false."""
        return self._n_conflicts / self._n_judged if self._n_judged else 0.0

    def step(self, closed: Sequence[OpenTracklet], at_s: float) -> list[Event]:
        """One step of event time: expires what is old, settles the tracklets that are complete,
        matches and identifies them, and calibrates when it is time."""
        events = self._expire(at_s, keep=max(0, self.settings.max_tracklets - len(closed)))
        settled = dict(self._settle(done, at_s) for done in closed)
        scores = self._match(list(settled))
        added, withdrawn = self.buddies.settle()
        events += self._publish(added, withdrawn, at_s, scores)
        for number, before in settled.items():
            events += self.resolver.identify(number, before, scores[number], added, at_s)
        events += self._set_apart(at_s)
        if self.resolver.by_chains:
            events += self.resolver.merge_chains(added, at_s)
        self.n_until_calibration -= count_sightings(self.gallery[number] for number in settled)
        if self.n_until_calibration <= 0 and settled:
            events += self._recalibrate(at_s)
        return events

    def reembed(
        self, extractor: str, embeddings: Vectors, comparable: Mask, at_s: float
    ) -> list[Event]:
        """Puts the window into another extractor's version and calibrates on it, if it was
        calibrated before. Who is who stays as it is until the next calibration."""
        self.gallery.reembed(extractor, embeddings, comparable)
        self.gallery.compare(self.static_objects.numbers, False)
        if self.scorer.calibration is None:
            return []
        self._calibrate()
        return [*self._judge_pairs(at_s)[0], self._learned(at_s)]

    def believe_people(self, numbers: Sequence[int]) -> None:
        """An operator says that these tracklets are of a person: what was taken for static goes
        back among people, and is compared with them from the next calibration on."""
        self.gallery.compare(self.static_objects.believe(numbers), True)

    def forget_all(self, at_s: float) -> list[Event]:
        """Nothing in the window can be compared with what comes, and what was learned in it says
        nothing about that: drops both."""
        self.scorer.forget()
        self.n_until_calibration = self.settings.first_calibration
        return self._expire(at_s, keep=0)

    # --- snapshots ---------------------------------------------------------------------------

    def state(self) -> WindowState:
        """Everything known, to go on from."""
        accepted = self.accepted
        return WindowState(
            self.gallery.state(),
            self.scorer.calibration,
            self.identities.state(),
            self.resolver.constraints.state(),
            self.resolver.precision,
            self.buddies.state(),
            [(*pair, accepted.posterior(pair)) for pair in sorted(accepted.pairs)],
            self.history,
            self._cut_tracks.state(),
            self.static_objects.state(),
            self.n_calibrations,
            self.n_until_calibration,
            self._n_judged,
            self._n_conflicts,
        )

    @classmethod
    def restore(cls, site: str, settings: TrackerSettings, state: WindowState) -> AssociationWindow:
        """Goes on from ``state``, exactly as the window would have."""
        made = cls(site, settings)
        made._build(site, settings, Gallery.restore(state.gallery), state.calibration)
        made.identities.restore(state.registry)
        made.resolver.constraints.restore(state.constraints)
        made.resolver.precision = state.precision
        made.buddies.restore(state.buddies)
        for first, second, posterior in state.accepted:
            made.accepted.accept(made.gallery[first], made.gallery[second], posterior)
        made.history = state.history
        made._cut_tracks = CutTracks(state.continued)
        made.static_objects = StaticObjects(made.gallery, settings, state.still_things)
        made.n_calibrations = state.n_calibrations
        made.n_until_calibration = state.n_until_calibration
        made._n_judged, made._n_conflicts = state.n_judged, state.n_conflicts
        return made

    # --- tracklets ---------------------------------------------------------------------------

    def _expire(self, at_s: float, keep: int) -> list[Event]:
        slots, first = self.gallery.slots.copy(), self.gallery.first
        gone = self.gallery.expire(at_s - self.settings.window_s, keep)
        self._cut_tracks.expire(self.gallery.first)
        self.static_objects.expire(at_s)
        # What was erased is nobody's already.
        of = {n: int(slots[n - first]) for n in gone if slots[n - first] != NO_SLOT}
        return list(self._forget(of, at_s))

    def _forget(self, slots: Mapping[int, int], at_s: float) -> list[IdentityEvent]:
        """Tracklets (number to slot) are no more: in no pair, of no identity."""
        self.buddies.expire(list(slots))
        for number in slots:
            self.accepted.expire(number)
        return self.resolver.expire(slots.items(), at_s)

    def erase(self, numbers: Sequence[int], at_s: float) -> list[Event]:
        """Forgets tracklets as if nobody knew them: the ends of identities with them, and the
        pairs that come and go since they are not there."""
        slots = {number: self.identities.slot_of(number) for number in numbers}
        slots = {number: slot for number, slot in slots.items() if slot != NO_SLOT}
        self.gallery.erase(slots)
        self.static_objects.forget(slots)
        self._cut_tracks.forget(slots)
        ended = self._forget(slots, at_s)
        return [*ended, *self._publish(*self.buddies.settle(), at_s)]

    def _part_before(self, done: OpenTracklet) -> int | None:
        """The part of the same camera track before this one, where a long track was cut."""
        before = self._cut_tracks.newest(done.camera, done.track_id)
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
            None if before is None else self.gallery[before].in_view_from_s,
            done.late_s,
        )
        self.gallery.add(tracklet, at_s)
        self._cut_tracks.add(tracklet.camera, tracklet.track_id, number)
        thing = None if self.resolver.by_chains else self.static_objects.observe(number, done)
        if thing is not None and thing.is_static:
            self.gallery.compare([number], False)
            before = next((n for n in reversed(thing.numbers) if n != number), before)
        return number, before

    def _set_apart(self, at_s: float) -> list[Event]:
        """Things that have become static: an identity of their own, and in no pair any more."""
        events: list[Event] = []
        for thing in self.static_objects.newly_static():
            if any(map(self.resolver.constraints.is_linked, thing.numbers)):
                self.static_objects.believe(thing.numbers)
                continue
            self.gallery.compare(thing.numbers, False)
            self.buddies.part(thing.numbers)
            events += self.resolver.set_apart(thing.numbers, at_s)
        return [*events, *self._publish(*self.buddies.settle(), at_s)] if events else []

    # --- pairs -------------------------------------------------------------------------------

    def _match(self, numbers: list[int]) -> dict[int, GatedScores]:
        """Scores new tracklets against those before them and enters them into the search."""
        gallery, first = self.gallery, self.gallery.first
        scores: dict[int, GatedScores] = {}
        for number, found in self.scorer.before(numbers, self.settings.min_log_odds):
            scores[number] = found
            camera = int(gallery.cameras[number - first])
            others, values = found.rows, found.scores.p_candidate
            self.buddies.insert(number, camera, others + first, gallery.cameras[others], values)
        return scores

    def _publish(
        self,
        added: set[Pair],
        withdrawn: set[Pair],
        at_s: float,
        scores: Mapping[int, GatedScores] = _NO_SCORES,
    ) -> list[Event]:
        """Pseudo-pairs that came and went, the later tracklet as the query. ``scores`` are those
        of the tracklets that settled just now, by number."""
        events: list[Event] = []
        for pair, evidence in self._evidences(sorted(withdrawn), scores):
            self.accepted.withdraw(pair)
            query = self.gallery[pair[1]]
            events.append(AssociationEvent("withdrawn", at_s, query, evidence))
        for pair, evidence in self._evidences(sorted(added), scores):
            posterior = float(probability(np.array(evidence.log_odds)))
            self.accepted.accept(self.gallery[pair[0]], self.gallery[pair[1]], posterior)
            self._n_judged += 1
            self._n_conflicts += self.accepted.conflicts(pair, self.gallery)
            query = self.gallery[pair[1]]
            events.append(AssociationEvent("accepted", at_s, query, evidence))
        return events

    def _evidences(
        self, pairs: list[Pair], scores: Mapping[int, GatedScores]
    ) -> Iterator[tuple[Pair, Evidence]]:
        """What speaks for each pair: read off the later one's scores where it has just settled."""
        older = [pair for pair in pairs if pair[1] not in scores]
        found = pair_evidences(self.scorer, [pair[::-1] for pair in older])
        scored = dict(zip(older, found, strict=True))
        for pair in pairs:
            first, second = pair
            yield (
                pair,
                scored.get(pair) or evidence_from(self.scorer, second, first, scores[second]),
            )

    # --- calibration -------------------------------------------------------------------------

    def _recalibrate(self, at_s: float) -> list[Event]:
        """A new travel-time version: every pair and every identity is judged again."""
        self._calibrate()
        if self.resolver.by_chains:
            events, _ = self._judge_pairs(at_s)
            events += self.resolver.merge_chains(self.buddies.accepted, at_s)
            return [*events, self._learned(at_s)]
        splits = self.resolver.split_all(at_s)
        events, table = self._judge_pairs(at_s)
        return [*splits, *events, *self.resolver.revise(table, at_s), self._learned(at_s)]

    def _learned(self, at_s: float) -> CalibrationEvent:
        return CalibrationEvent(at_s, report(self, at_s, _MAX_TOLD_PAIRS))

    def _calibrate(self) -> None:
        self.n_calibrations += 1
        self._n_judged = self._n_conflicts = 0
        version = f"{self.gallery[self.gallery.first].extractor}/{self.n_calibrations}"
        estimate = calibrate_paper if self.resolver.by_chains else calibrate
        self.scorer.use(estimate(self.gallery, self.settings, version))
        newest = self.gallery.newest(self.settings.max_tracklets)
        n = len(independent_sightings(self.gallery, newest, self.settings))
        share = self.settings.calibration_growth * min(1.0, n / _SMALL_WINDOW)
        self.n_until_calibration = math.ceil(share * n)

    def _judge_pairs(self, at_s: float) -> tuple[list[Event], LinkageTable]:
        """Judges every pair under the calibration in force; what it says of identities."""
        assert self.scorer.calibration is not None
        table = self._score_all()
        before, now = self.accepted.pairs, self.buddies.accepted
        events = self._publish(now - before, before - now, at_s)
        alpha, accepted = self.scorer.calibration.alpha, self.accepted
        pairs = sorted(accepted.pairs)
        found = posteriors(self.scorer, pairs).tolist()
        accepted.reassess(dict(zip(pairs, found, strict=True)))
        self.history.note(at_s, alpha, accepted.expected_precision, accepted.travel_times)
        return events, table

    def _score_all(self) -> LinkageTable:
        """Fills new rankings and the linkage of all identities, in one pass over all pairs."""
        gallery, table = self.gallery, LinkageTable(self.resolver.rules)
        candidates = [_NO_CANDIDATES]
        candidates += [block.candidates(odds) for block, odds in table.fill()]
        self.buddies = OnlineBestBuddies(self.scorer.association_row)
        one, other, p = (np.concatenate(part) for part in zip(*candidates, strict=True))
        order = np.array(table.order, np.int64) - gallery.first
        turn = np.zeros(len(gallery), np.int64)
        turn[order] = np.arange(len(order))
        is_first = turn[one] < turn[other]  # each pair counts once, by the first one's distance
        known = np.sort(order)  # what was erased is nobody's
        pairs = tuple(np.searchsorted(known, rows[is_first]) for rows in (one, other))
        self.buddies.fill(gallery.numbers[known], gallery.cameras[known], pairs, p[is_first])
        self.buddies.settle()
        return table
