"""The associate stage: embeddings in, identities and associations out.

On getting a partition the stage loads the last good snapshot, reads on from there, says nothing up
to the group's committed offset, and speaks from there on: killed anywhere, the output is the same.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from contextlib import suppress
from pathlib import Path

from stgal_stream.core.tracker.site_tracker import SiteTracker
from stgal_stream.core.tracker.snapshot import STATE_VERSION
from stgal_stream.errors import SnapshotError
from stgal_stream.log.port import Log, Partition, Record, Subscription
from stgal_stream.monitoring.metrics import Metrics
from stgal_stream.monitoring.site_metrics import observe_event, observe_site
from stgal_stream.settings import Config
from stgal_stream.streaming.lost_records import tell_lost
from stgal_stream.streaming.outputs import Outputs
from stgal_stream.streaming.site_partition import SitePartition
from stgal_stream.streaming.snapshots import SnapshotStore
from stgal_stream.types import IdentityEvent

logger = logging.getLogger(__name__)

_POLL_RECORDS = 500
_IDLE_POLL_S = 0.2
_CHECK_LAG_S = 1.0


class AssociateStage:
    """Runs until stopped or, given ``until``, until that is set and the log's end is reached."""

    name = "associate"

    def __init__(self, log: Log, config: Config, metrics: Metrics) -> None:
        self._log = log
        self._config = config
        self._metrics = metrics
        about = f"{STATE_VERSION}\x00{log.identity}\x00{config.associate!r}"
        fingerprint = hashlib.sha256(about.encode()).hexdigest()
        self._store = SnapshotStore(Path(config.daemon.state_dir), fingerprint)
        self._partitions: dict[Partition, SitePartition] = {}
        self._next_snapshot_s = 0.0
        self.progress = 0
        self.caught_up = False

    @property
    def trackers(self) -> dict[str, SiteTracker]:
        """The trackers of all sites that are this worker's."""
        return {s: t for here in self._partitions.values() for s, t in here.trackers.items()}

    def run(self, stop: threading.Event, until: threading.Event | None = None) -> None:
        """The stage's loop.

        Raises:
            LogError: the log failed; what was not committed will be read again.
        """
        group = f"{self._config.kafka.group_prefix}-associate"
        subscription = self._log.subscribe(group, [self._config.topics.embeddings])
        self._partitions.clear()
        self._next_snapshot_s = time.monotonic() + self._config.daemon.snapshot_every_s
        check_s = 0.0
        try:
            while not stop.is_set():
                finishing = until is not None and until.is_set()
                idle = not self._step(subscription)
                if idle or time.monotonic() >= check_s:
                    check_s = time.monotonic() + _CHECK_LAG_S
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
        for partition, here in self._partitions.items():
            if not here.can_be_saved:
                continue
            try:
                self._store.save(partition, here.state())
            except SnapshotError as error:
                logger.error("%s", error)
                continue
            here.is_changed = False
            self._metrics.note_snapshot()
        self._next_snapshot_s = time.monotonic() + self._config.daemon.snapshot_every_s

    # --- partitions --------------------------------------------------------------------------

    def _take_partitions(self, subscription: Subscription) -> set[Partition]:
        """Recovers the partitions that are new; those whose reading position moved.

        A partition that was lost and given back between two looks has another epoch. If nobody
        else worked on it meanwhile, its state goes on; else the state has a gap and is recovered.
        """
        assigned = subscription.assignment()
        for partition in set(self._partitions) - set(assigned):
            del self._partitions[partition]
            with suppress(KeyError):
                self._metrics.switch_held.remove(str(partition.number))
        moved = set()
        for partition, epoch in assigned.items():
            here = self._partitions.get(partition)
            if here is not None and here.epoch == epoch:
                continue
            moved.add(partition)
            committed = subscription.committed(partition) or 0
            if here is None:
                tell_lost(subscription, partition)
            if here is None or not here.goes_on(epoch, committed):
                here = self._recovered(subscription, partition, epoch, committed)
                self._partitions[partition] = here
            subscription.seek(partition, here.next_offset)
        return moved

    def _recovered(
        self, subscription: Subscription, partition: Partition, epoch: int, committed: int
    ) -> SitePartition:
        beginning = subscription.beginning(partition)
        made = SitePartition(partition, self._config.associate, epoch, committed, beginning)
        saved = self._store.load(partition, at_most=committed, at_least=beginning)
        if saved is not None:
            made.restore(saved)
        logger.info(
            "%s/%d: from offset %d (%s), output from %d on",
            partition.topic,
            partition.number,
            made.next_offset,
            "snapshot" if saved else "the beginning",
            committed,
        )
        return made

    # --- records -----------------------------------------------------------------------------

    def _step(self, subscription: Subscription) -> bool:
        """Reads some records, takes them and commits; whether there was anything to do."""
        polled = subscription.poll(_POLL_RECORDS, _IDLE_POLL_S)
        moved = self._take_partitions(subscription)
        records = [
            r for r in polled if r.partition in self._partitions and r.partition not in moved
        ]
        if records:
            self._process(subscription, records)
        return bool(records or moved)

    def _process(self, subscription: Subscription, records: list[Record]) -> None:
        out = Outputs(self._config.topics)
        again: set[Partition] = set()
        for record in records:
            here = self._partitions[record.partition]
            if record.partition in again or record.offset < here.next_offset:
                continue
            if here.take(self._log, record, out):
                again.add(record.partition)
        if out.offsets:
            subscription.commit(out.records, out.offsets)
        if any(isinstance(e, IdentityEvent) and e.kind == "erased" for _, e in out.events):
            # No snapshot may bring them back: the log will not say for long that they are erased.
            self.save_snapshots()
            self._store.delete_previous()
        for partition in again:
            subscription.seek(partition, self._partitions[partition].next_offset)
        self.progress += len(records)
        self._observe(out)

    def _observe(self, out: Outputs) -> None:
        """Metrics of what is committed."""
        for site, event in out.events:
            observe_event(self._metrics, site, event)
        for reason in out.refused:
            self._metrics.dead_letters.labels(str(reason)).inc()
        now = time.time()
        for site, record in out.newest.items():
            delay_s = max(0.0, now - record.append_time_s)
            self._metrics.latency.labels(self.name).observe(delay_s)
            tracker = self._partitions[record.partition].trackers[site]
            observe_site(self._metrics, site, tracker, record.append_time_s)
        for here in self._partitions.values():
            self._metrics.switches.inc(here.n_switches)
            here.n_switches = 0

    def _note_lag(self, subscription: Subscription) -> None:
        for partition, here in self._partitions.items():
            self._metrics.switch_held.labels(str(partition.number)).set(here.held_s)
        lags = subscription.lags()
        self._metrics.note_lags(self.name, {at.number: lag for at, lag in lags.items()})
        self.caught_up = bool(lags) and all(lag <= 0 for lag in lags.values())
