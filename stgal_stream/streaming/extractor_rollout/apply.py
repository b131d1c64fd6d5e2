"""The change of a partition's sites to another extractor, from detections embedded again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from stgal_stream.core.tracker.extractor_change import ExtractorChange
from stgal_stream.core.tracker.site_tracker import SiteTracker
from stgal_stream.log.port import Log, Partition
from stgal_stream.log.reading import records
from stgal_stream.streaming.extractor_rollout.marker import Held, MarkerWatch
from stgal_stream.types import Event, Vector
from stgal_stream.wire.embedding import ReembeddedRecord, as_vector, decode
from stgal_stream.wire.fields import BadRecord, check_vector


@dataclass(frozen=True, slots=True)
class Change:
    """Events by site, and the detections that were held back, in the new version."""

    events: dict[str, list[Event]]
    held: dict[Held, Vector]


def change_extractor(
    log: Log,
    partition: Partition,
    trackers: Mapping[str, SiteTracker],
    markers: MarkerWatch,
    extractor: str,
) -> Change:
    """Changes every site that is in a version left behind. Sites with embeddings of their own from
    upstream stay as they are.

    Raises:
        LogError: the log cannot be read.
    """
    hold = markers.hold
    assert hold is not None
    changes = {
        site: ExtractorChange(tracker, extractor)
        for site, tracker in trackers.items()
        if tracker.extractor in hold.left - {extractor}
    }
    held: dict[Held, Vector] = {}
    start = markers.first.get(extractor, hold.start)
    for record in _reembedded(log, partition, start, hold.checked + 1):
        if record.extractor != extractor:
            continue
        try:
            vector = check_vector(as_vector(record))
        except (BadRecord, ValueError):
            continue
        if record.site in changes:
            changes[record.site].take(record.id, vector, record.weight)
        if (record.site, record.id) in hold.waiting:
            held[record.site, record.id] = vector
    return Change({site: change.apply() for site, change in changes.items()}, held)


def _reembedded(
    log: Log, partition: Partition, start: int, stop: int
) -> Iterator[ReembeddedRecord]:
    """Detections embedded again in the offsets from ``start`` to before ``stop``."""
    for record in records(log, partition.topic, partition.number, start, stop):
        try:
            content = decode(record.value)
        except (msgspec.MsgspecError, ValueError):
            continue
        if isinstance(content, ReembeddedRecord):
            yield content
