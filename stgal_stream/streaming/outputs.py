"""What follows from some records of the log, to be committed together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from stgal_stream.log.port import NewRecord, Partition, Record
from stgal_stream.settings import TopicSettings
from stgal_stream.types import (
    AssociationEvent,
    CalibrationEvent,
    CorrectionEvent,
    Event,
    IdentityEvent,
    Position,
    Reason,
)
from stgal_stream.wire import dead_letter
from stgal_stream.wire.calibration import encode_calibration
from stgal_stream.wire.correction import encode_correction
from stgal_stream.wire.events import encode_association, encode_identity
from stgal_stream.wire.fields import BadRecord


@dataclass(slots=True)
class Outputs:
    """Records to write and the offsets that they follow from; for the metrics the events by site,
    the reasons of refused records, and the newest record of each site."""

    topics: TopicSettings
    records: list[NewRecord] = field(default_factory=list)
    offsets: dict[Partition, int] = field(default_factory=dict)
    events: list[tuple[str, Event]] = field(default_factory=list)
    refused: list[Reason] = field(default_factory=list)
    newest: dict[str, Record] = field(default_factory=dict)

    def done(self, partition: Partition, offset: int) -> None:
        """The record at an offset is dealt with."""
        self.offsets[partition] = offset + 1

    def add(self, site: str, events: Iterable[Event], clocks_off_s: Mapping[str, float]) -> None:
        """Adds what a site's tracker said. ``clocks_off_s`` are its cameras' clocks that are."""
        for event in events:
            self.events.append((site, event))
            self.records.append(self._encoded(site, event, clocks_off_s))

    def refuse(self, record: Record, fault: BadRecord) -> None:
        """Adds a dead letter for a record that cannot be used."""
        at = Position(record.partition.topic, record.partition.number, record.offset)
        body = dead_letter.encode(fault.reason, fault.detail, at)
        self.records.append(NewRecord(self.topics.dead_letters, record.key, body))
        self.refused.append(fault.reason)

    def _encoded(self, site: str, event: Event, clocks_off_s: Mapping[str, float]) -> NewRecord:
        key = site.encode()
        if isinstance(event, CalibrationEvent):
            body = encode_calibration(site, event, clocks_off_s)
            return NewRecord(self.topics.calibrations, key, body)
        if isinstance(event, IdentityEvent):
            return NewRecord(self.topics.identities, key, encode_identity(site, event))
        if isinstance(event, AssociationEvent):
            return NewRecord(self.topics.associations, key, encode_association(site, event))
        if isinstance(event, CorrectionEvent):
            return NewRecord(self.topics.corrections, key, encode_correction(site, event))
        refused = event.detection
        body = dead_letter.encode(
            event.reason,
            event.detail,
            refused.position,
            detection_id=refused.id,
            camera=refused.camera,
            site=site,
        )
        return NewRecord(self.topics.dead_letters, key, body)
