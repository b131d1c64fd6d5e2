"""Records of the embedded log as rows of its table, each with a checksum."""

from __future__ import annotations

import sqlite3
import time
import zlib
from collections.abc import Sequence
from typing import Any

import msgspec

from stgal_stream.errors import LogError
from stgal_stream.log.port import NewRecord, Partition, Record

_DAMAGED = "the record is damaged: its checksum is another than when it was written"


def insert(db: sqlite3.Connection, records: Sequence[NewRecord]) -> None:
    """Writes records at the ends of their topics, within the caller's transaction.

    Raises:
        LogError: there is no such topic.
    """
    if not records:
        return
    now = time.time()
    offsets: dict[str, int] = {}
    rows = []
    for record in records:
        if record.topic not in offsets:
            found = db.execute("SELECT next_offset FROM topics WHERE name = ?", (record.topic,))
            row = found.fetchone()
            if row is None:
                raise LogError(
                    f"there is no topic {record.topic!r}", hint="run stgal-stream topics"
                )
            offsets[record.topic] = int(row[0])
        headers = msgspec.msgpack.encode(record.headers) if record.headers else None
        offset = offsets[record.topic]
        content = (record.topic, offset, now, record.key, record.value, headers)
        rows.append((*content, _checksum(*content)))
        offsets[record.topic] = offset + 1
    db.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    for topic, offset in offsets.items():
        db.execute("UPDATE topics SET next_offset = ? WHERE name = ?", (offset, topic))


def rewrite(db: sqlite3.Connection, topic: str, offset: int, value: bytes) -> None:
    """Puts another value where a record lies, within the caller's transaction."""
    query = "SELECT append_time_s, key, headers FROM records WHERE topic = ? AND offset = ?"
    for append_time_s, key, headers in db.execute(query, (topic, offset)).fetchall():
        checksum = _checksum(topic, offset, append_time_s, key, value, headers)
        db.execute(
            "UPDATE records SET value = ?, checksum = ? WHERE topic = ? AND offset = ?",
            (value, checksum, topic, offset),
        )


def note_first(db: sqlite3.Connection, topic: str) -> None:
    """Notes the offset of the oldest record kept, within the caller's transaction."""
    db.execute(
        "UPDATE topics SET first_offset = coalesce("
        "(SELECT min(offset) FROM records WHERE topic = ?1), next_offset) WHERE name = ?1",
        (topic,),
    )


def record_of(topic: str, row: tuple[Any, ...]) -> Record:
    """A row as a record; one whose checksum is another says so and holds nothing."""
    offset, append_time_s, key, value, packed, checksum = row
    at = Partition(topic, 0)
    # Records from before there were checksums have none.
    if checksum is not None and _checksum(topic, *row[:-1]) != checksum:
        return Record(at, offset, None, b"", (), append_time_s, _DAMAGED)
    headers: tuple[tuple[str, bytes], ...] = ()
    if packed:
        headers = msgspec.msgpack.decode(packed, type=tuple[tuple[str, bytes], ...])
    return Record(at, offset, key, value, headers, append_time_s)


def _checksum(
    topic: str,
    offset: int,
    append_time_s: float,
    key: bytes | None,
    value: bytes,
    headers: bytes | None,
) -> int:
    """CRC-32 of all that a record is."""
    head = msgspec.msgpack.encode((topic, offset, append_time_s, key, headers))
    return zlib.crc32(_as_bytes(value), zlib.crc32(head))


def _as_bytes(value: Any) -> bytes:
    """A damaged row may hold a value of another type."""
    return value if isinstance(value, bytes) else repr(value).encode()


def add_checksums(connection: sqlite3.Connection) -> None:
    """A log from before there were checksums gets a place for them."""
    columns = connection.execute("PRAGMA table_info(records)").fetchall()
    if "checksum" not in {name for _, name, *_ in columns}:
        connection.execute("ALTER TABLE records ADD COLUMN checksum INTEGER")
