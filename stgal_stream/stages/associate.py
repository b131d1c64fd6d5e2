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
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from stgal_stream.config import Config
from stgal_stream.core.site_state import restore, snapshot
from stgal_stream.core.site_tracker import SiteTracker
from stgal_stream.errors import SnapshotError
from stgal_stream.log.port import Log, NewRecord, Partition, Record, Subscription
from stgal_stream.monitoring.metrics import Metrics
from stgal_stream.monitoring.site_metrics import observe_event, observe_site
from stgal_stream.stages.snapshots import Snapshot, SnapshotStore
from stgal_stream.types import AssociationEvent, Event, IdentityEvent, Position, Reason
from stgal_stream.wire import dead_letter
from stgal_stream.wire.detection import BadRecord, check_vector
from stgal_stream.wire.embedding import TickRecord, as_detection, decode
from stgal_stream.wire.events import encode_association, encode_identity

logger = logging.getLogger(__name__)

_POLL_RECORDS = 500
_IDLE_POLL_S = 0.2
_LOOK_S = 1.0
_STATE_VERSION = "4"


@dataclass(slots=True)
class _PartitionState:
    """Trackers by site; up to ``speak_from`` the output is in the log already."""

    epoch: int
    speak_from: int
    trackers: dict[str, SiteTracker] = field(default_factory=dict)
    next_offset: int = 0
    changed: bool = False


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
            if not state.changed:
                continue
            sites = {site: snapshot(tracker) for site, tracker in state.trackers.items()}
            try:
                self._store.save(partition, Snapshot(state.next_offset, sites))
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
        moved = set()
        for partition, epoch in assigned.items():
            state = self._states.get(partition)
            if state is not None and state.epoch == epoch:
                continue
            moved.add(partition)
            committed = subscription.committed(partition) or 0
            if state is not None and max(state.speak_from, state.next_offset) == committed:
                state.epoch = epoch
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
        out: list[NewRecord] = []
        offsets: dict[Partition, int] = {}
        spoken: list[tuple[str, Event]] = []
        heard: dict[str, Record] = {}
        for record in records:
            state = self._states[record.partition]
            if record.offset < state.next_offset:
                continue
            state.next_offset = record.offset + 1
            state.changed = True
            try:
                site, events = self._take(state, record)
            except BadRecord as fault:
                self._refuse(state, record, fault, out, offsets)
                continue
            heard[site] = record
            if record.offset >= state.speak_from:
                offsets[record.partition] = record.offset + 1
                spoken += [(site, event) for event in events]
                out += [self._encode(site, event) for event in events]
        if offsets:
            subscription.commit(out, offsets)
        self.progress += len(records)
        for site, event in spoken:
            observe_event(self._metrics, site, event)
        now = time.time()
        for site, record in heard.items():
            delay_s = max(0.0, now - record.append_time_s)
            self._metrics.latency.labels(self.name).observe(delay_s)
            tracker = self._states[record.partition].trackers[site]
            observe_site(self._metrics, site, tracker, record.append_time_s)

    def _take(self, state: _PartitionState, record: Record) -> tuple[str, list[Event]]:
        try:
            content = decode(record.value)
            detection = None if isinstance(content, TickRecord) else as_detection(content)
        except (msgspec.MsgspecError, ValueError) as error:
            raise BadRecord(Reason.SCHEMA, f"no embedding record: {error}") from error
        if detection is not None:
            check_vector(detection.embedding)
        tracker = state.trackers.get(content.site)
        if tracker is None:
            if len(state.trackers) >= self._config.associate.max_sites:
                detail = f"{len(state.trackers)} sites are known already"
                raise BadRecord(Reason.TOO_MANY_SITES, detail)
            tracker = state.trackers[content.site] = SiteTracker(content.site, self._settings)
        if detection is None:
            return content.site, tracker.tick(content.time_s)
        return content.site, tracker.observe(detection)

    def _refuse(
        self,
        state: _PartitionState,
        record: Record,
        fault: BadRecord,
        out: list[NewRecord],
        offsets: dict[Partition, int],
    ) -> None:
        """A record that this stage cannot use becomes a dead letter, once."""
        if record.offset < state.speak_from:
            return
        at = Position(record.partition.topic, record.partition.number, record.offset)
        body = dead_letter.encode(fault.reason, fault.detail, at)
        out.append(NewRecord(self._config.topics.dead_letters, record.key, body))
        offsets[record.partition] = record.offset + 1
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
        lags = subscription.lags()
        for partition, lag in lags.items():
            self._metrics.lag.labels(self.name, str(partition.number)).set(lag)
        self.caught_up = bool(lags) and all(lag <= 0 for lag in lags.values())
