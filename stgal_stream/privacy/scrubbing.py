"""One person's data taken out of an embedded log and of what lies beside it.

Law: what is about others stays as it is, to the byte, but for the person's name in it. Offsets
stay: where a record was taken out there is none.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.port import Record
from stgal_stream.log.reading import records
from stgal_stream.privacy.person import Person
from stgal_stream.privacy.redaction import embedding_without, event_without, without_names
from stgal_stream.replacing import replacing
from stgal_stream.settings import Config, InputSettings
from stgal_stream.types import Position
from stgal_stream.wire.detection import decode
from stgal_stream.wire.fields import BadRecord
from stgal_stream.wire.raw_detection import DetectionMessage

_CHUNK = 200
Changes = dict[int, bytes | None]  # by offset; None takes a record out


def scrub_log(
    log: EmbeddedLog,
    config: Config,
    person: Person,
    on_step: Callable[[str], None] = lambda what: None,
) -> dict[str, int]:
    """Takes a person out of all topics; how many records of each were changed.

    The order is that in which one topic leads to another: where it was interrupted, the person is
    still found, and it can begin again.

    Raises:
        LogError: the log could not be read or written.
    """
    topics = config.topics
    on_step(f"taking them out of {topics.detections}")
    counts = {topics.detections: _scrub_detections(log, config.input, person)}
    on_step(f"taking them out of {topics.embeddings}")
    counts[topics.embeddings] = _scrub(
        log, topics.embeddings, lambda r: embedding_without(r, person)
    )
    for topic in (
        topics.associations,
        topics.corrections,
        topics.dead_letters,
        topics.identities,
    ):
        on_step(f"taking them out of {topic}")
        counts[topic] = _scrub(log, topic, lambda r: event_without(r, person))
    return {topic: n for topic, n in counts.items() if n}


def _scrub(log: EmbeddedLog, topic: str, judge: Callable[[Record], bytes | None]) -> int:
    """Changes what ``judge`` gives another value, or None, for; the number of records changed."""
    changes: Changes = {}
    n = 0
    for record in records(log, topic, 0):
        value = judge(record)
        if value != record.value:
            changes[record.offset] = value
        if len(changes) >= _CHUNK:
            n += _put(log, topic, changes)
    return n + _put(log, topic, changes)


def _put(log: EmbeddedLog, topic: str, changes: Changes) -> int:
    n = len(changes)
    if n:
        log.replace(topic, changes)
        changes.clear()
    return n


# --- records ---------------------------------------------------------------------------------


def _scrub_detections(log: EmbeddedLog, inputs: InputSettings, person: Person) -> int:
    n = 0
    for topic in sorted({at.topic for at in person.places}):
        changes: Changes = {}
        for at in sorted((p for p in person.places if p.topic == topic), key=lambda p: p.offset):
            found = log.read(topic, 0, at.offset, 1)
            if found and found[0].offset == at.offset:
                changes[at.offset] = _detections(found[0], at, inputs, person)
            if len(changes) >= _CHUNK:
                n += _put(log, topic, changes)
        n += _put(log, topic, changes)
    return n


def _detections(
    record: Record, at: Position, inputs: InputSettings, person: Person
) -> bytes | None:
    """A record without the person's look; nothing where nobody else is in it, or where it is in a
    form that cannot be rewritten."""
    if at not in person.shared:
        return None
    try:
        theirs = [m for m in decode(record, inputs).messages if m.id in person.places[at]]
        content = json.loads(record.value)
    except (BadRecord, ValueError, RecursionError):
        return None
    cleaned = _without_look(content, theirs)
    return None if cleaned == content else json.dumps(cleaned, separators=(",", ":")).encode()


def _without_look(content: Any, theirs: list[DetectionMessage]) -> Any:
    """JSON without pictures, vectors and names of some detections."""
    if isinstance(content, dict):
        return {key: _without_look(value, theirs) for key, value in content.items()}
    if isinstance(content, list):
        if any(_is_vector(content, message) for message in theirs):
            return []
        return [_without_look(value, theirs) for value in content]
    if isinstance(content, str) and any(_is_look(content, message) for message in theirs):
        return ""
    return content


def _is_vector(content: list[Any], message: DetectionMessage) -> bool:
    if message.vector is None or len(content) != len(message.vector):
        return False
    if not all(isinstance(value, int | float) for value in content):
        return False
    return bool(np.array_equal(np.array(content, np.float32), message.vector))


def _is_look(content: str, message: DetectionMessage) -> bool:
    """Whether a text is a detection's name, or base64 of its picture or vector."""
    if content == message.id:
        return True
    encoded = content.rpartition(",")[2].strip()  # a data URI has a head
    for decoded in _decoded(encoded):
        if decoded == message.crop:
            return True
        if message.vector is not None and decoded == message.vector.astype("<f4").tobytes():
            return True
    return False


def _decoded(text: str) -> Iterator[bytes]:
    """What a text may be base64 of."""
    for decode_ in (base64.b64decode, base64.urlsafe_b64decode):
        with suppress(binascii.Error, ValueError):
            yield decode_(text + "=" * (-len(text) % 4))


# --- beside the log --------------------------------------------------------------------------


def scrub_state(directory: Path) -> None:
    """Deletes older snapshots: the newest is of after the erasure."""
    for pattern in ("*.previous", "*.tmp"):
        for path in directory.glob(pattern):
            path.unlink()


def scrub_page(directory: Path, person: Person) -> None:
    """Deletes the page's read model, which is built again, and takes names out of its audit log.

    Raises:
        DataError: it cannot be written.
    """
    for pattern in ("site.db*", "vectors-*"):
        for path in directory.glob(pattern):
            path.unlink()
    audit = directory / "audit.jsonl"
    if not audit.is_file():
        return
    with replacing(audit) as path, audit.open() as lines, path.open("w") as out:
        for line in lines:
            out.write(_audit_line(line, person.names))


def _audit_line(line: str, names: frozenset[str]) -> str:
    try:
        content = json.loads(line)
    except ValueError:
        return line
    cleaned = without_names(content, names)
    return line if cleaned == content else json.dumps(cleaned) + "\n"
