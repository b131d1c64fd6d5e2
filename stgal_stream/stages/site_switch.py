"""The change of a partition's sites to another extractor, from what the log holds embedded anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from stgal_stream.core.site_tracker import SiteTracker
from stgal_stream.core.window_switch import WindowSwitch
from stgal_stream.log.port import Log, Partition
from stgal_stream.stages.switch_watch import Held, SwitchWatch
from stgal_stream.types import Event, Vector
from stgal_stream.wire.detection import BadRecord, check_vector
from stgal_stream.wire.embedding import ReembeddedRecord, as_vector, decode

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Change:
    """Events by site, and the detections that were held back, as the new extractor sees them."""

    events: dict[str, list[Event]]
    held: dict[Held, Vector]


def change_extractor(
    log: Log,
    partition: Partition,
    trackers: Mapping[str, SiteTracker],
    watch: SwitchWatch,
    extractor: str,
) -> Change:
    """Changes every site that is in a version left behind. Sites with embeddings of their own from
    upstream stay as they are.

    Raises:
        LogError: the log cannot be read.
    """
    hold = watch.hold
    assert hold is not None
    switches = {
        site: WindowSwitch(tracker, extractor)
        for site, tracker in trackers.items()
        if tracker.extractor in hold.left - {extractor}
    }
    held: dict[Held, Vector] = {}
    start = watch.first.get(extractor, hold.start)
    for record in _reembedded(log, partition, start, hold.looked):
        if record.extractor != extractor:
            continue
        try:
            vector = check_vector(as_vector(record))
        except (BadRecord, ValueError):
            continue
        if record.site in switches:
            switches[record.site].take(record.id, vector)
        if (record.site, record.id) in hold.waiting:
            held[record.site, record.id] = vector
    return Change({site: switch.apply() for site, switch in switches.items()}, held)


def _reembedded(
    log: Log, partition: Partition, offset: int, until: int
) -> Iterator[ReembeddedRecord]:
    """Detections embedded anew in the offsets from ``offset`` to ``until``."""
    while offset <= until:
        records = log.read(partition.topic, partition.number, offset, _CHUNK)
        if not records:
            return
        for record in records:
            if record.offset > until:
                return
            try:
                content = decode(record.value)
            except (msgspec.MsgspecError, ValueError):
                continue
            if isinstance(content, ReembeddedRecord):
                yield content
        offset = records[-1].offset + 1
