"""Records without one person: what is about others stays as it is, but for the person's name."""

from __future__ import annotations

from typing import Any

import msgspec

from stgal_stream.log.port import Record
from stgal_stream.privacy.person import Content, Person, embedding_of, json_of
from stgal_stream.wire.embedding import CorrectionRecord, encode

_ERASED = "erased"


def event_without(record: Record, person: Person) -> bytes | None:
    """An event without the person: nothing where it is about them, else without their name."""
    content = json_of(record)
    if content is None:
        return record.value
    if person.is_event(content):
        return None
    if content.get("site") != person.site:
        return record.value
    cleaned = without_names(_of_others(content, person), person.names)
    return record.value if cleaned == content else msgspec.json.encode(cleaned)


def _of_others(event: Content, person: Person) -> Content:
    """That a tracklet was parted from the person: all that is left of it is where it went."""
    parted = event.get("type") == "renamed" and event.get("from") in person.names
    return as_joined(event) if parted else event


def as_joined(event: Content) -> Content:
    """That a tracklet moved, as the first that is said of it."""
    if event.get("type") != "renamed":
        return event
    kept = {name: value for name, value in event.items() if name not in ("from", "to", "scope")}
    return kept | {"type": "joined"}


def without_names(content: Any, names: frozenset[str]) -> Any:
    """JSON in which no text is one of these names."""
    if isinstance(content, dict):
        return {key: without_names(value, names) for key, value in content.items()}
    if isinstance(content, list):
        return [without_names(value, names) for value in content]
    return _ERASED if isinstance(content, str) and content in names else content


def embedding_without(record: Record, person: Person) -> bytes | None:
    """A record of the embeddings without the person; None where it is about them alone."""
    content = embedding_of(record)
    if content is None or not person.is_embedding(content):
        return record.value
    if isinstance(content, CorrectionRecord):
        # What was said of others beside them stays said.
        first, second = (
            tuple(name for name in side if name not in person.names)
            for side in (content.first, content.second)
        )
        if first and second:
            content.first, content.second = first, second
            return encode(content)
    return None
