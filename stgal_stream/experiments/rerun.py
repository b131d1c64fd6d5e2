"""The associate stage once more over embeddings that a log holds, under other settings."""

from __future__ import annotations

import json
from collections.abc import Iterator

from stgal_stream.core.tracker.site_tracker import SiteTracker
from stgal_stream.log.port import Log
from stgal_stream.log.reading import values
from stgal_stream.settings import TrackerSettings
from stgal_stream.types import Event, IdentityEvent
from stgal_stream.wire.embedding import EmbeddingRecord, TickRecord, as_detection, decode
from stgal_stream.wire.events import encode_identity
from stgal_stream.wire.mapping import Mapping


def rerun(log: Log, topic: str, settings: TrackerSettings) -> Mapping:
    """The mapping that the embeddings of a topic give under ``settings``; nothing is written."""
    trackers: dict[str, SiteTracker] = {}
    found = Mapping()
    for site, events in _events(log, topic, settings, trackers):
        for event in events:
            if isinstance(event, IdentityEvent):
                found.take(json.loads(encode_identity(site, event)))
    return found


def _events(
    log: Log, topic: str, settings: TrackerSettings, trackers: dict[str, SiteTracker]
) -> Iterator[tuple[str, list[Event]]]:
    for value in values(log, topic):
        content = decode(value)
        if not isinstance(content, EmbeddingRecord | TickRecord):
            continue  # a change of the extractor is no part of the comparison
        tracker = trackers.setdefault(content.site, SiteTracker(content.site, settings))
        if isinstance(content, TickRecord):
            is_end, time_s = content.is_end, content.time_s
            yield content.site, tracker.close() if is_end else tracker.tick(time_s)
        else:
            yield content.site, tracker.observe(as_detection(content))
