"""One partition of the embeddings: the trackers of its sites, and how far it is.

Law: its state is a function of the log up to ``next_offset``. What follows from records before
``output_from`` is in the log already, so nothing is said about them again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec

from stgal_stream.core.tracker.site_tracker import SiteTracker
from stgal_stream.core.tracker.snapshot import restore, snapshot
from stgal_stream.log.port import Log, Partition, Record
from stgal_stream.settings import AssociateSettings
from stgal_stream.streaming.extractor_rollout.apply import change_extractor
from stgal_stream.streaming.extractor_rollout.marker import MarkerWatch
from stgal_stream.streaming.outputs import Outputs
from stgal_stream.streaming.snapshots import Snapshot
from stgal_stream.types import CorrectionEvent, Detection, Erasure, Event, Reason
from stgal_stream.wire.correction import as_correction
from stgal_stream.wire.embedding import (
    CorrectionRecord,
    EmbeddingRecord,
    EmbeddingsRecord,
    ErasureRecord,
    ReembeddedRecord,
    SwitchRecord,
    TickRecord,
    as_detection,
    decode,
)
from stgal_stream.wire.fields import BadRecord, check_vector

logger = logging.getLogger(__name__)

# Ticks come every few seconds. One from so far ahead is of a worker that was started again and goes
# by a camera whose clock is wrong.
_TICK_LEAP_S = 120.0


@dataclass(slots=True)
class SitePartition:
    """Trackers by site; ``markers`` knows of changes of the extractor."""

    partition: Partition
    settings: AssociateSettings
    epoch: int
    output_from: int
    next_offset: int
    trackers: dict[str, SiteTracker] = field(default_factory=dict)
    markers: MarkerWatch = field(default_factory=MarkerWatch)
    is_changed: bool = False
    n_switches: int = 0
    _held_since_s: float = 0.0

    # --- snapshots ---------------------------------------------------------------------------

    @property
    def can_be_saved(self) -> bool:
        """Whether there is something new to save, and no held record is being read again."""
        return self.is_changed and self.next_offset > self.markers.until

    def state(self) -> Snapshot:
        """Everything known, to go on from."""
        sites = {site: snapshot(tracker) for site, tracker in self.trackers.items()}
        return Snapshot(self.next_offset, sites, self.markers.state())

    def restore(self, saved: Snapshot) -> None:
        """Goes on from ``saved``."""
        self.next_offset = saved.offset
        self.markers = MarkerWatch.restore(saved.markers)
        self.trackers = {site: restore(s, self.settings) for site, s in saved.sites.items()}

    def goes_on(self, epoch: int, committed: int) -> bool:
        """The partition came back under another epoch. Whether nobody else worked on it meanwhile,
        so that this state goes on; what was held back is read again then."""
        if max(self.output_from, self.next_offset) != committed:
            return False
        self.epoch = epoch
        self.markers.drop_hold()
        return True

    # --- records -----------------------------------------------------------------------------

    @property
    def held_s(self) -> float:
        """How long records have been held back for other workers to switch the extractor."""
        is_holding = self.markers.hold is not None
        return time.monotonic() - self._held_since_s if is_holding else 0.0

    def take(self, log: Log, record: Record, out: Outputs) -> bool:
        """Takes the next record; what follows goes to ``out``. Whether the partition must be read
        again from ``next_offset``: a change of the extractor is complete."""
        try:
            content = _decoded(record)
            if self.markers.hold is not None or self._begins_switch(record, content):
                return self._hold(log, record, content, out)
            self._step(record, content, out)
        except BadRecord as fault:
            if self.markers.hold is None:
                self._refuse(record, fault, out)
        if self.markers.hold is None:
            self._pass(record.offset)
        return False

    def _pass(self, offset: int) -> None:
        self.next_offset = offset + 1
        self.is_changed = True
        self.markers.release(offset)

    def _step(self, record: Record, content: EmbeddingsRecord, out: Outputs) -> None:
        if isinstance(content, SwitchRecord | ReembeddedRecord):
            if isinstance(content, ReembeddedRecord):
                self.markers.first.setdefault(content.extractor, record.offset)
            self._say(record.offset, {}, out)
            return
        if isinstance(content, CorrectionRecord | ErasureRecord):
            self._say(record.offset, {content.site: self._told(content)}, out)
            return
        events = self._events(content)
        out.newest[content.site] = record
        self._say(record.offset, {content.site: events}, out)

    def _say(self, offset: int, events: Mapping[str, list[Event]], out: Outputs) -> None:
        """What follows from the record at an offset; silent where it is in the log already."""
        if offset < self.output_from:
            return
        out.done(self.partition, offset)
        for site, happened in events.items():
            tracker = self.trackers.get(site)
            out.add(site, happened, {} if tracker is None else tracker.clock.odd_s)

    def _refuse(self, record: Record, fault: BadRecord, out: Outputs) -> None:
        """A record that cannot be used becomes a dead letter, once."""
        if record.offset >= self.output_from:
            out.refuse(record, fault)
            out.done(self.partition, record.offset)

    def _events(self, content: EmbeddingRecord | TickRecord) -> list[Event]:
        if isinstance(content, EmbeddingRecord):
            detection = self.markers.as_seen(content.site, _detection(content))
            return self._tracker(content.site).observe(detection)
        tracker = self._tracker(content.site)
        if content.is_end:
            return tracker.close()
        return tracker.tick(content.time_s, most_s=_TICK_LEAP_S)

    def _told(self, content: CorrectionRecord | ErasureRecord) -> list[Event]:
        """What follows from what a person says of a site."""
        tracker = self.trackers.get(content.site)
        if isinstance(content, ErasureRecord):
            # A site that is not known any more has nothing left to forget; others may have.
            tracker = tracker or SiteTracker(content.site, self.settings)
            return tracker.erase(Erasure(content.identities, content.detections))
        correction = as_correction(content)
        if tracker is None:
            return [CorrectionEvent(correction.said_s, correction, "nothing was seen of this site")]
        return tracker.correct(correction)

    def _tracker(self, site: str) -> SiteTracker:
        tracker = self.trackers.get(site)
        if tracker is None:
            if len(self.trackers) >= self.settings.max_sites:
                detail = f"{len(self.trackers)} sites are known already"
                raise BadRecord(Reason.TOO_MANY_SITES, detail)
            tracker = self.trackers[site] = SiteTracker(site, self.settings)
        return tracker

    # --- changes of the extractor ------------------------------------------------------------

    def _begins_switch(self, record: Record, content: EmbeddingsRecord) -> bool:
        if not isinstance(content, SwitchRecord) or record.offset <= self.markers.until:
            return False
        self.markers.begin(record.offset)
        self._held_since_s = time.monotonic()
        return True

    def _hold(self, log: Log, record: Record, content: EmbeddingsRecord, out: Outputs) -> bool:
        """Looks at a record while a switch is under way; once it is complete, changes the sites."""
        hold = self.markers.hold
        assert hold is not None
        extractor = hold.check(record.offset, content)
        if extractor is None:
            return False
        changed = change_extractor(log, self.partition, self.trackers, self.markers, extractor)
        self._say(hold.start, changed.events, out)
        self.markers.complete(extractor, changed.held)
        self._pass(hold.start)
        self.n_switches += 1
        at = self.partition
        logger.info("%s/%d: embedded by %s from here on", at.topic, at.number, extractor)
        return hold.checked > hold.start


def _decoded(record: Record) -> EmbeddingsRecord:
    if record.fault is not None:
        raise BadRecord(Reason.UNREADABLE, record.fault)
    try:
        return decode(record.value)
    except (msgspec.MsgspecError, ValueError) as error:
        raise BadRecord(Reason.SCHEMA, f"no embedding record: {error}") from error


def _detection(content: EmbeddingRecord) -> Detection:
    try:
        found = as_detection(content)
    except ValueError as error:
        raise BadRecord(Reason.SCHEMA, f"no embedding record: {error}") from error
    return replace(found, embedding=check_vector(found.embedding))
