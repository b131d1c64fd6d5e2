"""Records of the embedded log as rows, each with a checksum. A topic is a table.

SQLite's pages hold whole rows, so a row of a little more than half a page would leave the rest of
it empty: a vector of 512 numbers took twice its size. A record is cut into pieces that fill pages.
A row's id is the record's offset and the number of the piece; piece 0 has all but the rest of the
value. Records are added at a table's end, so its pages are full.
"""

from __future__ import annotations

import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

import msgspec

from stgal_stream.errors import LogError
from stgal_stream.log.port import NewRecord, Partition, Record

Row = tuple[Any, ...]
_DAMAGED = "the record is damaged: its checksum is another than when it was written"
_PIECES = 1 << 16  # of a record, at most
# Of a row beside its value: what says where and how long; of the first one also when, a short key,
# its checksum.
_ROW_BYTES, _FIRST_ROW_BYTES = 16, 35
_PAGE_HEAD_BYTES = 8
_MORE_PIECES = 8  # are tried than must be


def make_table(db: sqlite3.Connection, topic: str) -> None:
    """Makes the table of a topic, if there is none."""
    db.execute(
        f"CREATE TABLE IF NOT EXISTS {table(db, topic)} (id INTEGER PRIMARY KEY, "
        "append_time_s REAL, key BLOB, value BLOB NOT NULL, headers BLOB, checksum INTEGER)"
    )


def table(db: sqlite3.Connection, topic: str) -> str:
    """The name of a topic's table.

    Raises:
        LogError: there is no such topic.
    """
    found = _table(db, topic)
    if found is None:
        raise LogError(f"there is no topic {topic!r}", hint="run stgal-stream topics")
    return found


def _table(db: sqlite3.Connection, topic: str) -> str | None:
    row = db.execute("SELECT id FROM topics WHERE name = ?", (topic,)).fetchone()
    return None if row is None else f"records_{int(row[0])}"


# --- writing, within the caller's transaction ----------------------------------------------------


def insert(db: sqlite3.Connection, records: Sequence[NewRecord]) -> None:
    """Writes records at the ends of their topics.

    Raises:
        LogError: there is no such topic.
    """
    if not records:
        return
    now = time.time()
    rows: dict[str, list[Row]] = {}
    ends: dict[str, int] = {}
    tables: dict[str, str] = {}
    page_bytes = _page_bytes(db)
    for record in records:
        topic = record.topic
        if topic not in ends:
            tables[topic], rows[topic] = table(db, topic), []
            ends[topic] = _end(db, topic)
        headers = msgspec.msgpack.encode(record.headers) if record.headers else None
        content = (topic, ends[topic], now, record.key, record.value, headers)
        meta = now, record.key, headers, _checksum(*content)
        rows[topic] += _rows(ends[topic], meta, record.value, page_bytes)
        ends[topic] += 1
    for topic, end in ends.items():
        _add(db, tables[topic], rows[topic])
        db.execute("UPDATE topics SET next_offset = ? WHERE name = ?", (end, topic))


def _end(db: sqlite3.Connection, topic: str) -> int:
    row = db.execute("SELECT next_offset FROM topics WHERE name = ?", (topic,)).fetchone()
    return int(row[0])


def _add(db: sqlite3.Connection, into: str, rows: Iterable[Row]) -> None:
    db.executemany(f"INSERT INTO {into} VALUES (?, ?, ?, ?, ?, ?)", rows)


def rewrite(db: sqlite3.Connection, topic: str, offset: int, value: bytes) -> None:
    """Puts another value where a record lies."""
    of_topic = table(db, topic)
    query = f"SELECT append_time_s, key, headers FROM {of_topic} WHERE id = ?"
    found = db.execute(query, (offset * _PIECES,)).fetchone()
    if found is None:
        return
    append_time_s, key, headers = found
    checksum = _checksum(topic, offset, append_time_s, key, value, headers)
    delete(db, topic, [offset])
    meta = append_time_s, key, headers, checksum
    _add(db, of_topic, _rows(offset, meta, value, _page_bytes(db)))


def delete(db: sqlite3.Connection, topic: str, offsets: Iterable[int]) -> None:
    """Takes records out."""
    db.executemany(
        f"DELETE FROM {table(db, topic)} WHERE id >= ? AND id < ?",
        ((offset * _PIECES, (offset + 1) * _PIECES) for offset in offsets),
    )


def delete_before(db: sqlite3.Connection, topic: str, offset: int) -> None:
    """Takes out all records before an offset."""
    db.execute(f"DELETE FROM {table(db, topic)} WHERE id < ?", (offset * _PIECES,))
    note_first(db, topic)


def delete_oldest(
    db: sqlite3.Connection, topic: str, most: int, before_s: float, before: int
) -> int:
    """Of the oldest records, ``most`` at once, takes out those that lie before an offset or were
    written before a time (Unix seconds); how many."""
    query = (
        "SELECT id / ?1, append_time_s < ?2 OR append_time_s IS NULL "
        f"FROM {table(db, topic)} WHERE id >= ?3 ORDER BY id LIMIT 1"
    )
    offsets, at = [], 0
    for _ in range(most):
        # Piece by piece would read all that they hold.
        found = db.execute(query, (_PIECES, before_s, at * _PIECES)).fetchone()
        if found is None:
            break
        offset, is_old = found  # what has lost its first piece is as old as anything
        at = offset + 1
        if is_old or offset < before:
            offsets.append(offset)
    if offsets:
        delete(db, topic, offsets)
        note_first(db, topic)
    return len(offsets)


def compact(db: sqlite3.Connection, topic: str) -> int:
    """Takes out all records but the newest of each key; how many."""
    query = f"SELECT id, key FROM {table(db, topic)} WHERE key IS NOT NULL"
    keys = dict(db.execute(query).fetchall())
    newest = {key: id_ for id_, key in sorted(keys.items())}
    offsets = [id_ // _PIECES for id_, key in keys.items() if newest[key] != id_]
    delete(db, topic, offsets)
    return len(offsets)


def note_first(db: sqlite3.Connection, topic: str) -> None:
    """Notes the offset of the oldest record kept."""
    first = f"SELECT min(id) / ? FROM {table(db, topic)}"
    db.execute(
        f"UPDATE topics SET first_offset = coalesce(({first}), next_offset) WHERE name = ?",
        (_PIECES, topic),
    )


# --- reading -------------------------------------------------------------------------------------


def read(db: sqlite3.Connection, topic: str, offset: int, most: int) -> list[Record]:
    """Records from an offset on, none where there is no such topic; one whose checksum is another
    says so and holds nothing."""
    from_ = _table(db, topic)
    if from_ is None:
        return []
    rows = db.execute(
        f"SELECT id / ?1, * FROM {from_} WHERE id >= ?2 ORDER BY id",
        (_PIECES, offset * _PIECES),
    )
    try:
        found = groupby(rows, itemgetter(0))
        return [_record(topic, at, list(pieces)) for at, pieces in islice(found, most)]
    finally:
        rows.close()  # a reader that is not done would keep the write-ahead log


def end(db: sqlite3.Connection, topic: str) -> int:
    """The offset after the newest record that is there; 0 where there is none."""
    newest = db.execute(f"SELECT max(id) FROM {table(db, topic)}").fetchone()[0]
    return 0 if newest is None else int(newest) // _PIECES + 1


def _record(topic: str, offset: int, pieces: list[Row]) -> Record:
    _, id_, append_time_s, key, value, packed, checksum = pieces[0]
    at = Partition(topic, 0)
    if len(pieces) > 1:
        value = b"".join(_as_bytes(piece[4]) for piece in pieces)
    if id_ % _PIECES or _checksum(topic, offset, append_time_s, key, value, packed) != checksum:
        return Record(at, offset, None, b"", (), append_time_s or 0.0, _DAMAGED)
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


# --- pieces ----------------------------------------------------------------------------------


def _rows(
    offset: int,
    meta: tuple[float, bytes | None, bytes | None, int | None],
    value: bytes,
    page_bytes: int,
) -> Iterator[Row]:
    append_time_s, key, headers, checksum = meta
    length = piece_bytes(len(value), page_bytes)
    at = offset * _PIECES
    yield at, append_time_s, key, value[:length], headers, checksum
    for part, start in enumerate(range(length, len(value), length), 1):
        yield at + part, None, None, value[start : start + length], None, None


@lru_cache(4096)
def piece_bytes(n_bytes: int, page_bytes: int) -> int:
    """How long the pieces of a value are, so that they fill pages best.

    A row lies whole in its page up to the length that SQLite's file format gives (section 1.6,
    "Cell payload overflow pages").
    """
    longest = page_bytes - 35 - _FIRST_ROW_BYTES
    least = max(1, -(-n_bytes // longest))

    def pages(n: int) -> float:
        row = -(-n_bytes // n) + (_FIRST_ROW_BYTES + (n - 1) * _ROW_BYTES) / n
        return n / ((page_bytes - _PAGE_HEAD_BYTES) // row)

    return max(1, -(-n_bytes // min(range(least, least + _MORE_PIECES), key=pages)))


def _page_bytes(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA page_size").fetchone()[0])


# --- logs of older versions --------------------------------------------------------------------


def is_older(db: sqlite3.Connection) -> bool:
    """Whether a database has the records of all topics in one table, each whole in its row."""
    found = db.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'records'")
    return found.fetchone() is not None


def convert(db: sqlite3.Connection, schema: str) -> None:
    """Gives each topic of an older log its table."""
    columns = {name for _, name, *_ in db.execute("PRAGMA table_info(records)")}
    checksum = "checksum" if "checksum" in columns else "NULL"  # of before there were any
    db.execute("ALTER TABLE topics RENAME TO older_topics")
    for statement in schema.split(";"):
        db.execute(statement)
    db.execute(
        "INSERT INTO topics (name, next_offset, retention_s, compacted, first_offset) "
        "SELECT name, next_offset, retention_s, compacted, first_offset FROM older_topics"
    )
    page_bytes = _page_bytes(db)
    for (topic,) in db.execute("SELECT name FROM topics").fetchall():
        make_table(db, topic)
        into = table(db, topic)
        found = db.execute(
            f"SELECT offset, append_time_s, key, headers, {checksum}, value "
            "FROM records WHERE topic = ? ORDER BY offset",
            (topic,),
        )
        for offset, at_s, key, headers, sum_, value in found:
            if sum_ is None:
                sum_ = _checksum(topic, offset, at_s, key, value, headers)
            meta = at_s, key, headers, sum_
            _add(db, into, _rows(offset, meta, _as_bytes(value), page_bytes))
    db.execute("DROP TABLE records")
    db.execute("DROP TABLE older_topics")
