"""The associate stage: embeddings in, identities and associations out.

Each partition's state is a function of its log prefix. On getting a partition the stage loads the
last good snapshot, reads on from there, keeps what it says to itself up to the group's committed
offset, and speaks from there on: killed anywhere, the output is the same.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from stgal_stream.config import Config
from stgal_stream.core.site_state import restore, snapshot
from stgal_stream.core.site_tracker import SiteTracker
from stgal_stream.errors import SnapshotError
from stgal_stream.log.port import Log, NewRecord, Partition, Record, Subscription
from stgal_stream.monitoring.metrics import Metrics
from stgal_stream.monitoring.site_metrics import observe_event, observe_site
from stgal_stream.stages.site_switch import change_extractor
from stgal_stream.stages.snapshots import Snapshot, SnapshotStore
from stgal_stream.stages.switch_watch import SwitchWatch
from stgal_stream.types import AssociationEvent, Detection, Event, IdentityEvent, Position, Reason
from stgal_stream.wire import dead_letter
from stgal_stream.wire.detection import BadRecord, check_vector
from stgal_stream.wire.embedding import (
    EmbeddingRecord,
    EmbeddingsRecord,
    ReembeddedRecord,
    SwitchRecord,
    TickRecord,
    as_detection,
    decode,
)
from stgal_stream.wire.events import encode_association, encode_identity

logger = logging.getLogger(__name__)

_POLL_RECORDS = 500
_IDLE_POLL_S = 0.2
_LOOK_S = 1.0
_STATE_VERSION = "8"


@dataclass(slots=True)
class _PartitionState:
    """Trackers by site; up to ``speak_from`` the output is in the log already."""

    epoch: int
    speak_from: int
    trackers: dict[str, SiteTracker] = field(default_factory=dict)
    next_offset: int = 0
    changed: bool = False
    watch: SwitchWatch = field(default_factory=SwitchWatch)
    held_since_s: float = 0.0


@dataclass(slots=True)
class _Said:
    """What the records of one poll lead to, to be committed together."""

    records: list[NewRecord] = field(default_factory=list)
    offsets: dict[Partition, int] = field(default_factory=dict)
    events: list[tuple[str, Event]] = field(default_factory=list)
    heard: dict[str, Record] = field(default_factory=dict)


class AssociateStage:
    """Runs until stopped or, given ``until``, until that is set and the log's end is reached."""

    name = "associate"

    def __init__(self, log: Log, config: Config, metrics: Metrics) -> None:
        self._log = log
        self._config = config
        self._metrics = metrics
        self._settings = config.associate.tracker_settings()
        about = f"{_STATE_VERSION}\x00{log.identity}\x00{self._settings!r}"
        fingerprint = hashlib.sha256(about.encode()).hexdigest()
        self._store = SnapshotStore(Path(config.daemon.state_dir), fingerprint)
        self._states: dict[Partition, _PartitionState] = {}
        self._next_snapshot_s = 0.0
        self.progress = 0
        self.caught_up = False

    @property
    def trackers(self) -> dict[str, SiteTracker]:
        """The trackers of all sites that are this worker's."""
        return {s: t for state in self._states.values() for s, t in state.trackers.items()}

    def run(self, stop: threading.Event, until: threading.Event | None = None) -> None:
        """The stage's loop.

        Raises:
            LogError: the log failed; what was not committed will be read again.
        """
        group = f"{self._config.kafka.group_prefix}-associate"
        subscription = self._log.subscribe(group, [self._config.topics.embeddings])
        self._states.clear()
        self._next_snapshot_s = time.monotonic() + self._config.daemon.snapshot_every_s
        look_s = 0.0
        try:
            while not stop.is_set():
                finishing = until is not None and until.is_set()
                records = subscription.poll(_POLL_RECORDS, _IDLE_POLL_S)
                moved = self._take_partitions(subscription)
                records = [
                    r for r in records if r.partition in self._states and r.partition not in moved
                ]
                if records:
                    self._process(subscription, records)
                idle = not records and not moved
                if idle or time.monotonic() >= look_s:
                    look_s = time.monotonic() + _LOOK_S
                    self._note_lag(subscription)
                    if idle and finishing and self.caught_up:
                        break
                if time.monotonic() >= self._next_snapshot_s:
                    self.save_snapshots()
            self.save_snapshots()
        finally:
            subscription.close()

    def save_snapshots(self) -> None:
        """Writes the state of all partitions that changed; a disk that refuses is not fatal."""
        for partition, state in self._states.items():
            if not state.changed or state.next_offset <= state.watch.until:
                continue
            sites = {site: snapshot(tracker) for site, tracker in state.trackers.items()}
            try:
                self._store.save(partition, Snapshot(state.next_offset, sites, state.watch.dump()))
            except SnapshotError as error:
                logger.error("%s", error)
                continue
            state.changed = False
            self._metrics.snapshot_time.set_to_current_time()
        self._next_snapshot_s = time.monotonic() + self._config.daemon.snapshot_every_s

    # --- partitions --------------------------------------------------------------------------

    def _take_partitions(self, subscription: Subscription) -> set[Partition]:
        """Recovers the partitions that are new; those whose reading position moved.

        A partition that was lost and given back between two looks has another epoch. If nobody
        else worked on it meanwhile, its state goes on; else the state has a gap and is recovered.
        """
        assigned = subscription.assignment()
        for partition in set(self._states) - set(assigned):
            del self._states[partition]
            with suppress(KeyError):
                self._metrics.switch_held.remove(str(partition.number))
        moved = set()
        for partition, epoch in assigned.items():
            state = self._states.get(partition)
            if state is not None and state.epoch == epoch:
                continue
            moved.add(partition)
            committed = subscription.committed(partition) or 0
            if state is not None and max(state.speak_from, state.next_offset) == committed:
                state.epoch, state.watch.hold = epoch, None
                subscription.seek(partition, state.next_offset)
            else:
                self._states[partition] = self._recover(subscription, partition, epoch, committed)
        return moved

    def _recover(
        self, subscription: Subscription, partition: Partition, epoch: int, committed: int
    ) -> _PartitionState:
        beginning = subscription.beginning(partition)
        state = _PartitionState(epoch, speak_from=committed, next_offset=beginning)
        saved = self._store.load(partition, at_most=committed, at_least=beginning)
        if saved is not None:
            state.next_offset = saved.offset
            state.watch = SwitchWatch.load(saved.switches)
            for site, content in saved.sites.items():
                state.trackers[site] = restore(content, self._settings)
        logger.info(
            "%s/%d: from offset %d (%s), output from %d on",
            partition.topic,
            partition.number,
            state.next_offset,
            "snapshot" if saved else "the beginning",
            committed,
        )
        subscription.seek(partition, state.next_offset)
        return state

    # --- records -----------------------------------------------------------------------------

    def _process(self, subscription: Subscription, records: list[Record]) -> None:
        said = _Said()
        again: set[Partition] = set()
        for record in records:
            state = self._states[record.partition]
            if record.partition in again or record.offset < state.next_offset:
                continue
            try:
                content = _decoded(record)
                if state.watch.hold is not None or self._begins_switch(state, record, content):
                    if self._hold(state, record, content, said):
                        again.add(record.partition)
                    continue
                self._take(state, record, content, said)
            except BadRecord as fault:
                if state.watch.hold is None:
                    self._refuse(state, record, fault, said)
            if state.watch.hold is None:
                self._pass(state, record.offset)
        if said.offsets:
            subscription.commit(said.records, said.offsets)
        for partition in again:
            subscription.seek(partition, self._states[partition].next_offset)
        self.progress += len(records)
        self._observe(said)

    def _pass(self, state: _PartitionState, offset: int) -> None:
        state.next_offset = offset + 1
        state.changed = True
        state.watch.release(offset)

    def _take(
        self, state: _PartitionState, record: Record, content: EmbeddingsRecord, said: _Said
    ) -> None:
        if isinstance(content, SwitchRecord | ReembeddedRecord):
            if isinstance(content, ReembeddedRecord):
                state.watch.first.setdefault(content.extractor, record.offset)
            self._say(state, record.partition, record.offset, {}, said)
            return
        events = self._events(state, content)
        said.heard[content.site] = record
        self._say(state, record.partition, record.offset, {content.site: events}, said)

    def _say(
        self,
        state: _PartitionState,
        partition: Partition,
        offset: int,
        events: Mapping[str, list[Event]],
        said: _Said,
    ) -> None:
        """What follows from the record at an offset; silent where it is in the log already."""
        if offset < state.speak_from:
            return
        said.offsets[partition] = offset + 1
        for site, happened in events.items():
            said.events += [(site, event) for event in happened]
            said.records += [self._encode(site, event) for event in happened]

    def _events(self, state: _PartitionState, content: EmbeddingRecord | TickRecord) -> list[Event]:
        detection = None
        if isinstance(content, EmbeddingRecord):
            detection = _detection(content)
            check_vector(detection.embedding)
            seen = state.watch.held.get((content.site, content.id))
            if seen is not None and content.extractor != state.watch.extractor:
                extractor = state.watch.extractor
                detection = replace(detection, embedding=seen, extractor=extractor)
        tracker = state.trackers.get(content.site)
        if tracker is None:
            if len(state.trackers) >= self._config.associate.max_sites:
                detail = f"{len(state.trackers)} sites are known already"
                raise BadRecord(Reason.TOO_MANY_SITES, detail)
            tracker = state.trackers[content.site] = SiteTracker(content.site, self._settings)
        return tracker.tick(content.time_s) if detection is None else tracker.observe(detection)

    def _observe(self, said: _Said) -> None:
        for site, event in said.events:
            observe_event(self._metrics, site, event)
        now = time.time()
        for site, record in said.heard.items():
            delay_s = max(0.0, now - record.append_time_s)
            self._metrics.latency.labels(self.name).observe(delay_s)
            tracker = self._states[record.partition].trackers[site]
            observe_site(self._metrics, site, tracker, record.append_time_s)

    # --- switches of the extractor -----------------------------------------------------------

    def _begins_switch(
        self, state: _PartitionState, record: Record, content: EmbeddingsRecord
    ) -> bool:
        if not isinstance(content, SwitchRecord) or record.offset <= state.watch.until:
            return False
        state.watch.begin(record.offset)
        state.held_since_s = time.monotonic()
        return True

    def _hold(
        self, state: _PartitionState, record: Record, content: EmbeddingsRecord, said: _Said
    ) -> bool:
        """Looks at a record while a switch is under way; once it is complete, changes the sites.
        Whether the partition must be read again from ``next_offset``."""
        hold = state.watch.hold
        assert hold is not None
        extractor = hold.look(record.offset, content)
        if extractor is None:
            return False
        partition = record.partition
        changed = change_extractor(self._log, partition, state.trackers, state.watch, extractor)
        self._say(state, partition, hold.start, changed.events, said)
        state.watch.complete(extractor, changed.held)
        self._pass(state, hold.start)
        self._metrics.switches.inc()
        logger.info("%s/%d: seen by %s from here on", partition.topic, partition.number, extractor)
        return hold.looked > hold.start

    def _note_holds(self) -> None:
        for partition, state in self._states.items():
            held_s = time.monotonic() - state.held_since_s if state.watch.hold is not None else 0.0
            self._metrics.switch_held.labels(str(partition.number)).set(held_s)

    def _refuse(
        self, state: _PartitionState, record: Record, fault: BadRecord, said: _Said
    ) -> None:
        """A record that this stage cannot use becomes a dead letter, once."""
        if record.offset < state.speak_from:
            return
        at = Position(record.partition.topic, record.partition.number, record.offset)
        body = dead_letter.encode(fault.reason, fault.detail, at)
        said.records.append(NewRecord(self._config.topics.dead_letters, record.key, body))
        said.offsets[record.partition] = record.offset + 1
        self._metrics.dead_letters.labels(str(fault.reason)).inc()

    def _encode(self, site: str, event: Event) -> NewRecord:
        topics, key = self._config.topics, site.encode()
        if isinstance(event, IdentityEvent):
            return NewRecord(topics.identities, key, encode_identity(site, event))
        if isinstance(event, AssociationEvent):
            return NewRecord(topics.associations, key, encode_association(site, event))
        refused = event.detection
        body = dead_letter.encode(
            event.reason,
            event.detail,
            refused.position,
            detection_id=refused.id,
            camera=refused.camera,
            site=site,
        )
        return NewRecord(topics.dead_letters, key, body)

    def _note_lag(self, subscription: Subscription) -> None:
        self._note_holds()
        lags = subscription.lags()
        self._metrics.note_lags(self.name, {at.number: lag for at, lag in lags.items()})
        self.caught_up = bool(lags) and all(lag <= 0 for lag in lags.values())


def _decoded(record: Record) -> EmbeddingsRecord:
    try:
        return decode(record.value)
    except (msgspec.MsgspecError, ValueError) as error:
        raise BadRecord(Reason.SCHEMA, f"no embedding record: {error}") from error


def _detection(content: EmbeddingRecord) -> Detection:
    try:
        return as_detection(content)
    except ValueError as error:
        raise BadRecord(Reason.SCHEMA, f"no embedding record: {error}") from error
