"""The log on one machine without a broker: SQLite in WAL mode, in one directory.

Every topic has one partition. A group has one member at a time on a machine: a second one is told
who holds it. Commits are durable when they return (``synchronous=FULL``).
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from stgal_stream.errors import LogError, PermanentLogError
from stgal_stream.log.embedded_rows import add_checksums, insert, record_of, rewrite
from stgal_stream.log.embedded_transaction import Writing, fault
from stgal_stream.log.port import NewRecord, Partition, Record, TopicSpec

logger = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS topics (
    name TEXT PRIMARY KEY, next_offset INTEGER NOT NULL, retention_s REAL,
    compacted INTEGER NOT NULL, first_offset INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS records (
    topic TEXT NOT NULL, offset INTEGER NOT NULL, append_time_s REAL NOT NULL,
    key BLOB, value BLOB NOT NULL, headers BLOB, checksum INTEGER, PRIMARY KEY (topic, offset));
CREATE TABLE IF NOT EXISTS offsets (
    member_group TEXT NOT NULL, topic TEXT NOT NULL, next INTEGER NOT NULL,
    PRIMARY KEY (member_group, topic));
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_FIRST_OFFSET = (
    "UPDATE topics SET first_offset = coalesce((SELECT min(offset) FROM records WHERE topic = ?1), "
    "next_offset) WHERE name = ?1"
)
_POLL_S = 0.02
UPKEEP_S = 60.0
_DELETE_CHUNK = 500
_FREE_SHARE = 0.05  # of a file's pages: kept for what comes next
_VACUUM_PAGES = 500  # 2 MB


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
            add_checksums(connection)
            row = ("identity", uuid.uuid4().hex)
            connection.execute("INSERT OR IGNORE INTO about VALUES (?, ?)", row)
            found = connection.execute("SELECT value FROM about WHERE name = 'identity'")
            self._identity = str(found.fetchone()[0])
        except (OSError, sqlite3.Error) as error:
            raise PermanentLogError(
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
            found.execute("PRAGMA auto_vacuum=INCREMENTAL")  # of a new file; others stay as made
            found.execute("PRAGMA journal_mode=WAL")
            found.execute("PRAGMA synchronous=FULL")
            found.execute("PRAGMA secure_delete=ON")  # what retention deletes is overwritten
            self._local.connection = found
            with self._lock:
                self._connections.append(found)
        return found

    def ensure_topics(self, specs: Iterable[TopicSpec]) -> list[str]:
        """Makes missing topics and sets retention and compaction of those that are there."""
        with Writing(self.connection()) as db:
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
        with Writing(self.connection()) as db:
            insert(db, records)
        self.upkeep()

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
        rows = self.select(
            "SELECT offset, append_time_s, key, value, headers, checksum FROM records "
            "WHERE topic = ? AND offset >= ? ORDER BY offset LIMIT ?",
            (topic, offset, max_records),
        )
        return [record_of(topic, row) for row in rows]

    def end(self, topic: str, partition: int) -> int:
        """The offset after the newest record."""
        return self.bounds(topic)[1]

    def ends(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        """The same of many, asked at once."""
        found = dict(self.select("SELECT name, next_offset FROM topics", ()))
        return {at: found.get(at.topic, 0) for at in partitions}

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """What a group has committed, by partition."""
        rows = self.select(
            "SELECT next FROM offsets WHERE member_group = ? AND topic = ?", (group, topic)
        )
        return {0: int(rows[0][0])} if rows else {}

    def select(self, query: str, parameters: tuple[Any, ...]) -> list[Any]:
        """The rows of a query.

        Raises:
            LogError: the database cannot be read.
        """
        try:
            return self.connection().execute(query, parameters).fetchall()
        except sqlite3.Error as error:
            raise fault("cannot be read", error) from error

    def partitions(self, topic: str) -> int:
        """1, or 0 where there is no such topic."""
        return len(self.select("SELECT 1 FROM topics WHERE name = ?", (topic,)))

    def bounds(self, topic: str) -> tuple[int, int]:
        """The offsets of the oldest record kept and after the newest."""
        query = "SELECT first_offset, next_offset FROM topics WHERE name = ?"
        rows = self.select(query, (topic,))
        return (int(rows[0][0]), int(rows[0][1])) if rows else (0, 0)

    def lag(self, topic: str, position: int) -> int:
        """How far the newest record that is there lies from what is read next."""
        query = "SELECT ifnull(max(offset) + 1, 0) FROM records WHERE topic = ?"
        newest = int(self.select(query, (topic,))[0][0])
        return max(0, newest - max(position, self.bounds(topic)[0]))

    def close(self) -> None:
        """Closes the database."""
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
        self._local = threading.local()

    def upkeep(self) -> None:
        """Forgets, now and then. What fails here fails again later, and says so: it must not make
        a commit that is done look failed."""
        now = time.time()
        if now < self._next_upkeep:
            return
        self._next_upkeep = now + UPKEEP_S
        try:
            self.forget(now)
        except LogError as error:
            logger.error("retention could not be kept: %s; it is tried again", error)

    def forget(self, now_s: float) -> None:
        """Deletes what retention and compaction no longer keep. Personal data ends here: deleted
        records are overwritten, and the write-ahead log is cut once no reader needs it."""
        n_deleted = 0
        for name, retention_s, compacted in self.select(
            "SELECT name, retention_s, compacted FROM topics", ()
        ):
            if compacted:
                n_deleted += self._compact(name)
            elif retention_s is not None:
                n_deleted += self._expire(name, now_s - retention_s)
        if n_deleted:
            self._shrink()
            self.select("PRAGMA wal_checkpoint(TRUNCATE)", ())

    def _shrink(self) -> None:
        """Gives pages back to the disk where many are free: after a burst the file is as large as
        what it holds again. In small steps, so that nobody who writes waits."""
        while True:
            (n_free,) = self.select("PRAGMA freelist_count", ())[0]
            (n_pages,) = self.select("PRAGMA page_count", ())[0]
            if n_free <= _FREE_SHARE * n_pages:
                return
            self.select(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})", ())
            if self.select("PRAGMA freelist_count", ())[0][0] == n_free:
                return  # a file from before there was such a thing

    def replace(self, topic: str, values: Mapping[int, bytes | None]) -> None:
        """Puts other values where records lie, or (None) takes records out; what was there is
        overwritten. For personal data that must go before its time: all others only append.

        Raises:
            LogError: it could not be written.
        """
        with Writing(self.connection()) as db:
            for offset, value in values.items():
                if value is None:
                    where = (topic, offset)
                    db.execute("DELETE FROM records WHERE topic = ? AND offset = ?", where)
                else:
                    rewrite(db, topic, offset, value)
            db.execute(_FIRST_OFFSET, (topic,))
        self.select("PRAGMA wal_checkpoint(TRUNCATE)", ())

    def _compact(self, topic: str) -> int:
        with Writing(self.connection()) as db:
            return db.execute(
                "DELETE FROM records WHERE topic = ?1 AND key IS NOT NULL AND offset < "
                "(SELECT max(offset) FROM records AS later WHERE later.topic = ?1 "
                "AND later.key = records.key)",
                (topic,),
            ).rowcount

    def _expire(self, topic: str, before_s: float) -> int:
        """In small transactions from the oldest record on, so that nobody who writes waits."""
        total = 0
        while True:
            with Writing(self.connection()) as db:
                n = db.execute(
                    "DELETE FROM records WHERE topic = ?1 AND offset IN (SELECT offset FROM "
                    "(SELECT offset, append_time_s FROM records WHERE topic = ?1 "
                    "ORDER BY offset LIMIT ?3) WHERE append_time_s < ?2)",
                    (topic, before_s, _DELETE_CHUNK),
                ).rowcount
                if n:
                    db.execute(_FIRST_OFFSET, (topic,))
            total += n
            if n < _DELETE_CHUNK:
                return total


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

    def assignment(self) -> dict[Partition, int]:
        """All topics' only partitions; nobody takes them away."""
        return {Partition(topic, 0): 0 for topic in self._next}

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """The next records; looks again every few milliseconds until the time is over."""
        deadline = time.monotonic() + timeout_s
        while True:
            found: list[Record] = []
            for topic, offset in self._next.items():
                found += self._log.read(topic, 0, offset, max_records - len(found))
            self._log.upkeep()  # a log that nobody writes to forgets as well
            if found or time.monotonic() >= deadline:
                for record in found:
                    self._next[record.partition.topic] = record.offset + 1
                return found
            time.sleep(_POLL_S)

    def commit(self, records: Sequence[NewRecord], offsets: Mapping[Partition, int]) -> None:
        """Writes records and offsets in one SQLite transaction."""
        with Writing(self._log.connection()) as db:
            insert(db, records)
            for partition, offset in offsets.items():
                db.execute(
                    "INSERT INTO offsets VALUES (?1, ?2, ?3) ON CONFLICT (member_group, topic) "
                    "DO UPDATE SET next = ?3",
                    (self._group, partition.topic, offset),
                )
        self._log.upkeep()

    def committed(self, partition: Partition) -> int | None:
        """The group's committed offset."""
        return self._log.committed(self._group, partition.topic).get(partition.number)

    def seek(self, partition: Partition, offset: int) -> None:
        """Reads on from an offset."""
        self._next[partition.topic] = offset

    def position(self, partition: Partition) -> int:
        """The offset that is read next."""
        return self._next[partition.topic]

    def lags(self) -> dict[Partition, int]:
        """How many records are still to be read."""
        return {p: self._log.lag(p.topic, self.position(p)) for p in self.assignment()}

    def beginning(self, partition: Partition) -> int:
        """The offset of the oldest record kept."""
        return self._log.bounds(partition.topic)[0]

    def end(self, partition: Partition) -> int:
        """The offset after the newest record."""
        return self._log.bounds(partition.topic)[1]

    def close(self) -> None:
        """Lets the next member in."""
        self._lock.close()


def _hold(path: Path, group: str) -> IO[str]:
    """Takes the group's lock for as long as the process (or the subscription) lives."""
    try:
        lock = path.open("a+")
    except OSError as error:
        raise LogError(f"{path} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise PermanentLogError(
            f"group {group!r} on this embedded log is held by process {holder}",
            hint="stop that daemon first, or use Kafka to share the work",
        ) from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock
