"""The log on one machine without a broker: SQLite in WAL mode, in one directory.

Every topic has one partition. A group has one member at a time on a machine: a second one is told
who holds it. Commits are durable when they return (``synchronous=FULL``).
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

import msgspec

from stgal_stream.errors import LogError
from stgal_stream.log.port import NewRecord, Partition, Record, TopicSpec

_SCHEMA = """
CREATE TABLE IF NOT EXISTS topics (
    name TEXT PRIMARY KEY, next_offset INTEGER NOT NULL, retention_s REAL,
    compacted INTEGER NOT NULL, first_offset INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS records (
    topic TEXT NOT NULL, offset INTEGER NOT NULL, append_time_s REAL NOT NULL,
    key BLOB, value BLOB NOT NULL, headers BLOB, PRIMARY KEY (topic, offset));
CREATE TABLE IF NOT EXISTS offsets (
    member_group TEXT NOT NULL, topic TEXT NOT NULL, next INTEGER NOT NULL,
    PRIMARY KEY (member_group, topic));
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_POLL_S = 0.02
_UPKEEP_S = 60.0


class EmbeddedLog:
    """A log in a directory.

    Raises:
        LogError: the directory cannot be used or holds something else.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._next_upkeep = 0.0
        try:
            directory.mkdir(parents=True, exist_ok=True)
            connection = self.connection()
            connection.executescript(_SCHEMA)
            row = ("identity", uuid.uuid4().hex)
            connection.execute("INSERT OR IGNORE INTO about VALUES (?, ?)", row)
            found = connection.execute("SELECT value FROM about WHERE name = 'identity'")
            self._identity = str(found.fetchone()[0])
        except (OSError, sqlite3.Error) as error:
            raise LogError(
                f"{directory} cannot be used as an embedded log: {error}",
                hint="give --embedded an empty or a new directory that can be written to",
            ) from error

    @property
    def identity(self) -> str:
        """A random name given when the log was made."""
        return self._identity

    def connection(self) -> sqlite3.Connection:
        """This thread's connection."""
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            path = self.directory / "log.sqlite3"
            found = sqlite3.connect(
                path, timeout=30.0, isolation_level=None, check_same_thread=False
            )
            found.execute("PRAGMA journal_mode=WAL")
            found.execute("PRAGMA synchronous=FULL")
            self._local.connection = found
            with self._lock:
                self._connections.append(found)
        return found

    def ensure_topics(self, specs: Iterable[TopicSpec]) -> list[str]:
        """Makes missing topics and sets retention and compaction of those that are there."""
        with _Writing(self.connection()) as db:
            for spec in specs:
                db.execute(
                    "INSERT INTO topics (name, next_offset, retention_s, compacted) "
                    "VALUES (?, 0, ?, ?) ON CONFLICT (name) DO UPDATE SET "
                    "retention_s = excluded.retention_s, compacted = excluded.compacted",
                    (spec.name, spec.retention_s, int(spec.compacted)),
                )
        return []

    def append(self, records: Sequence[NewRecord]) -> None:
        """Writes records in one transaction."""
        with _Writing(self.connection()) as db:
            _insert(db, records)
        self._upkeep()

    def subscribe(self, group: str, topics: Sequence[str]) -> EmbeddedSubscription:
        """Joins a group.

        Raises:
            LogError: another process is the group's member on this log.
        """
        return EmbeddedSubscription(self, group, topics)

    def read(self, topic: str, partition: int, offset: int, max_records: int) -> list[Record]:
        """Records from an offset on."""
        if partition != 0:
            raise LogError(f"the embedded log has partition 0 alone, not {partition}")
        rows = self.connection().execute(
            "SELECT offset, append_time_s, key, value, headers FROM records "
            "WHERE topic = ? AND offset >= ? ORDER BY offset LIMIT ?",
            (topic, offset, max_records),
        )
        return [_record(topic, row) for row in rows]

    def partitions(self, topic: str) -> int:
        """1, or 0 where there is no such topic."""
        found = self.connection().execute("SELECT 1 FROM topics WHERE name = ?", (topic,))
        return 1 if found.fetchone() else 0

    def bounds(self, topic: str) -> tuple[int, int]:
        """The offsets of the oldest record kept and after the newest."""
        found = self.connection().execute(
            "SELECT first_offset, next_offset FROM topics WHERE name = ?", (topic,)
        )
        row = found.fetchone()
        return (int(row[0]), int(row[1])) if row else (0, 0)

    def close(self) -> None:
        """Closes the database."""
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
        self._local = threading.local()

    def _upkeep(self) -> None:
        now = time.time()
        if now >= self._next_upkeep:
            self._next_upkeep = now + _UPKEEP_S
            self.forget(now)

    def forget(self, now_s: float) -> None:
        """Deletes what retention and compaction no longer keep. Personal data ends here."""
        with _Writing(self.connection()) as db:
            topics = db.execute("SELECT name, retention_s, compacted FROM topics").fetchall()
            for name, retention_s, compacted in topics:
                if compacted:
                    db.execute(
                        "DELETE FROM records WHERE topic = ?1 AND key IS NOT NULL AND offset < "
                        "(SELECT max(offset) FROM records AS later WHERE later.topic = ?1 "
                        "AND later.key = records.key)",
                        (name,),
                    )
                elif retention_s is not None:
                    db.execute(
                        "DELETE FROM records WHERE topic = ? AND append_time_s < ?",
                        (name, now_s - retention_s),
                    )
                    db.execute(
                        "UPDATE topics SET first_offset = coalesce((SELECT min(offset) FROM "
                        "records WHERE topic = ?1), next_offset) WHERE name = ?1",
                        (name,),
                    )


class EmbeddedSubscription:
    """The one member of a group on an embedded log."""

    def __init__(self, log: EmbeddedLog, group: str, topics: Sequence[str]) -> None:
        self._log = log
        self._group = group
        self._lock = _hold(log.directory / f"{group}.lock", group)
        self._next: dict[str, int] = {}
        for topic in topics:
            if not log.partitions(topic):
                self._lock.close()
                raise LogError(f"there is no topic {topic!r}", hint="run stgal-stream topics")
            committed = self.committed(Partition(topic, 0))
            first = log.bounds(topic)[0]
            self._next[topic] = max(first, committed or 0)

    def assignment(self) -> frozenset[Partition]:
        """All topics' only partitions."""
        return frozenset(Partition(topic, 0) for topic in self._next)

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """The next records; looks again every few milliseconds until the time is over."""
        deadline = time.monotonic() + timeout_s
        while True:
            found: list[Record] = []
            for topic, offset in self._next.items():
                found += self._log.read(topic, 0, offset, max_records - len(found))
            if found or time.monotonic() >= deadline:
                for record in found:
                    self._next[record.partition.topic] = record.offset + 1
                return found
            time.sleep(_POLL_S)

    def commit(self, records: Sequence[NewRecord], offsets: Mapping[Partition, int]) -> None:
        """Writes records and offsets in one SQLite transaction."""
        with _Writing(self._log.connection()) as db:
            _insert(db, records)
            for partition, offset in offsets.items():
                db.execute(
                    "INSERT INTO offsets VALUES (?1, ?2, ?3) ON CONFLICT (member_group, topic) "
                    "DO UPDATE SET next = ?3",
                    (self._group, partition.topic, offset),
                )
        self._log._upkeep()

    def committed(self, partition: Partition) -> int | None:
        """The group's committed offset."""
        found = self._log.connection().execute(
            "SELECT next FROM offsets WHERE member_group = ? AND topic = ?",
            (self._group, partition.topic),
        )
        row = found.fetchone()
        return None if row is None else int(row[0])

    def seek(self, partition: Partition, offset: int) -> None:
        """Reads on from an offset."""
        self._next[partition.topic] = offset

    def position(self, partition: Partition) -> int:
        """The offset that is read next."""
        return self._next[partition.topic]

    def lags(self) -> dict[Partition, int]:
        """How many records are still to be read."""
        return {p: self.end(p) - self.position(p) for p in self.assignment()}

    def beginning(self, partition: Partition) -> int:
        """The offset of the oldest record kept."""
        return self._log.bounds(partition.topic)[0]

    def end(self, partition: Partition) -> int:
        """The offset after the newest record."""
        return self._log.bounds(partition.topic)[1]

    def close(self) -> None:
        """Lets the next member in."""
        self._lock.close()


class _Writing:
    """A write transaction: BEGIN IMMEDIATE, then COMMIT or ROLLBACK."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> sqlite3.Connection:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise LogError(f"the embedded log cannot be written to: {error}") from error
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is None:
            try:
                self._connection.execute("COMMIT")
                return
            except sqlite3.Error as failure:
                self._rollback()
                raise LogError(
                    f"the embedded log could not commit: {failure}", hint="is the disk full?"
                ) from failure
        self._rollback()
        if issubclass(kind, sqlite3.Error):
            raise LogError(f"the embedded log could not be written to: {error}")

    def _rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


def _insert(db: sqlite3.Connection, records: Sequence[NewRecord]) -> None:
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
        rows.append((record.topic, offset, now, record.key, record.value, headers))
        offsets[record.topic] = offset + 1
    db.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)", rows)
    for topic, offset in offsets.items():
        db.execute("UPDATE topics SET next_offset = ? WHERE name = ?", (offset, topic))


def _record(topic: str, row: tuple[int, float, bytes | None, bytes, bytes | None]) -> Record:
    offset, append_time_s, key, value, packed = row
    headers: tuple[tuple[str, bytes], ...] = ()
    if packed:
        headers = msgspec.msgpack.decode(packed, type=tuple[tuple[str, bytes], ...])
    return Record(Partition(topic, 0), offset, key, value, headers, append_time_s)


def _hold(path: Path, group: str) -> IO[str]:
    """Takes the group's lock for as long as the process (or the subscription) lives."""
    lock = path.open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise LogError(
            f"group {group!r} on this embedded log is held by process {holder}",
            hint="stop that daemon first, or use Kafka to share the work",
        ) from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock
