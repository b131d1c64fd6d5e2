"""The log on one machine without a broker: SQLite in WAL mode, in one directory.

Every topic has one partition. A group has one member at a time on a machine: a second one is told
who holds it. Commits are durable when they return (``synchronous=FULL``).
"""

from __future__ import annotations

import logging
import math
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stgal_stream.errors import LogError, PermanentLogError
from stgal_stream.log.embedded_rows import (
    compact,
    convert,
    delete,
    delete_oldest,
    end,
    insert,
    is_older,
    make_table,
    note_first,
    read,
    rewrite,
)
from stgal_stream.log.embedded_subscription import EmbeddedSubscription
from stgal_stream.log.embedded_transaction import Writing, fault
from stgal_stream.log.port import NewRecord, Partition, Record, TopicSpec

logger = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS topics (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, next_offset INTEGER NOT NULL,
    retention_s REAL, compacted INTEGER NOT NULL, first_offset INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS offsets (
    member_group TEXT NOT NULL, topic TEXT NOT NULL, next INTEGER NOT NULL,
    PRIMARY KEY (member_group, topic));
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
UPKEEP_S = 60.0
_DELETE_CHUNK = 500
_FREE_SHARE = 0.05  # of a file's pages: kept for what comes next
_PAGE_BYTES = 8192  # of a new log: of more, a small commit would write more
_WAL_PAGES = 500  # 4 MB: what the write-ahead log grows to
_VACUUM_PAGES = 250  # 2 MB


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
        self._next_upkeep_s = 0.0
        try:
            directory.mkdir(parents=True, exist_ok=True)
            connection = self.connection()
            if is_older(connection):
                self._convert()
            connection.executescript(_SCHEMA)
            row = ("identity", uuid.uuid4().hex)
            connection.execute("INSERT OR IGNORE INTO about VALUES (?, ?)", row)
            found = connection.execute("SELECT value FROM about WHERE name = 'identity'")
            self._identity = str(found.fetchone()[0])
        except (OSError, sqlite3.Error) as error:
            raise PermanentLogError(
                f"{directory} cannot be used as an embedded log: {error}",
                hint="give --embedded an empty or a new directory that can be written to; if this "
                "was a log, its file is damaged or its disk cannot be read: restore it",
            ) from error

    def _convert(self) -> None:
        logger.info("%s is of an older version: its records are laid out anew", self.directory)
        with Writing(self.connection()) as db:
            if is_older(db):  # else somebody else has done it meanwhile
                convert(db, _SCHEMA)
        self._shrink()
        self.cut()

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
            found.execute(f"PRAGMA page_size={_PAGE_BYTES}")  # of a new file, as the next;
            found.execute("PRAGMA auto_vacuum=INCREMENTAL")  # others stay as they were made
            found.execute("PRAGMA journal_mode=WAL")
            found.execute(f"PRAGMA wal_autocheckpoint={_WAL_PAGES}")
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
                make_table(db, spec.name)
        return []

    def append(self, records: Sequence[NewRecord]) -> None:
        """Writes records in one transaction."""
        with Writing(self.connection()) as db:
            insert(db, records)
        self.upkeep()

    def subscribe(
        self, group: str, topics: Sequence[str], *, keep: bool = True
    ) -> EmbeddedSubscription:
        """Joins a group.

        Raises:
            LogError: another process is the group's member on this log.
        """
        return EmbeddedSubscription(self, group, topics, keep=keep)

    def read(self, topic: str, partition: int, offset: int, max_records: int) -> list[Record]:
        """Records from an offset on."""
        if partition != 0:
            raise LogError(f"the embedded log has partition 0 alone, not {partition}")
        try:
            return read(self.connection(), topic, offset, max_records)
        except sqlite3.Error as error:
            raise fault("cannot be read", error) from error

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
        try:
            newest = end(self.connection(), topic)
        except sqlite3.Error as error:
            raise fault("cannot be read", error) from error
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
        if time.monotonic() < self._next_upkeep_s:
            return
        self._next_upkeep_s = time.monotonic() + UPKEEP_S
        try:
            self.forget(time.time())
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
                n_deleted += self._delete_oldest(name, before_s=now_s - retention_s)
        if n_deleted:
            self._shrink()
            self.cut()

    def cut(self) -> bool:
        """Empties the write-ahead log, in which what was deleted lies until then; False where
        somebody else is at work in the database just now."""
        (is_busy, *_) = self.select("PRAGMA wal_checkpoint(TRUNCATE)", ())[0]
        return not is_busy

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
            delete(db, topic, (offset for offset, value in values.items() if value is None))
            for offset, value in values.items():
                if value is not None:
                    rewrite(db, topic, offset, value)
            note_first(db, topic)
        self.cut()

    def delete_before(self, topic: str, offset: int) -> int:
        """Takes out what lies before an offset; the number of records that did.

        Raises:
            LogError: it could not be written.
        """
        return self._delete_oldest(topic, before=offset)

    def _compact(self, topic: str) -> int:
        with Writing(self.connection()) as db:
            return compact(db, topic)

    def _delete_oldest(self, topic: str, before_s: float = -math.inf, before: int = 0) -> int:
        """In small transactions from the oldest record on, so that nobody who writes waits."""
        total = 0
        while True:
            with Writing(self.connection()) as db:
                n = delete_oldest(db, topic, _DELETE_CHUNK, before_s, before)
            total += n
            if n < _DELETE_CHUNK:
                return total
