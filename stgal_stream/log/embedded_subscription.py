"""The one member of a group on an embedded log, and how it holds the group."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from stgal_stream.errors import LogError, PermanentLogError
from stgal_stream.log.embedded_rows import delete_before, insert
from stgal_stream.log.embedded_transaction import Writing
from stgal_stream.log.port import NewRecord, Partition, Record

if TYPE_CHECKING:
    from stgal_stream.log.embedded import EmbeddedLog

logger = logging.getLogger(__name__)

_POLL_S = 0.02
_CUT_S = 1.0


class EmbeddedSubscription:
    """The one member of a group on an embedded log."""

    def __init__(
        self, log: EmbeddedLog, group: str, topics: Sequence[str], *, keep: bool = True
    ) -> None:
        self._log = log
        self._keep = keep
        self._is_cut = keep
        self._next_cut_s = 0.0
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
            if not keep:
                log.delete_before(topic, committed or 0)
        self._cut()

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
            self._cut()
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
                if not self._keep:
                    self._take_out(db, partition.topic, offset)
        self._log.upkeep()
        self._cut()

    def _take_out(self, db: sqlite3.Connection, topic: str, offset: int) -> None:
        delete_before(db, topic, offset)
        self._is_cut = False

    def _cut(self) -> None:
        """Lets what was taken out go for good, at most once a second. As in upkeep, what fails here
        must not make a commit that is done look failed."""
        if self._is_cut or time.monotonic() < self._next_cut_s:
            return
        self._next_cut_s = time.monotonic() + _CUT_S
        try:
            self._is_cut = self._log.cut()
        except LogError as error:
            logger.error("pictures may still be in the write-ahead log: %s; again soon", error)

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
        self._next_cut_s = 0.0
        self._cut()
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
