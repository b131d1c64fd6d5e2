"""Reads the log into the read model, and goes on as it grows.

Law: rows and the offsets that they follow from are committed together. Embeddings are read before
the identity events that need them.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from itertools import chain

from stgal_stream.errors import LogError
from stgal_stream.log.port import Log, Record
from stgal_stream.settings import TopicSettings
from stgal_stream.web.read_model import ReadModel
from stgal_stream.web.rows import Writer
from stgal_stream.web.vector_library import VectorLibrary

logger = logging.getLogger(__name__)

_BATCH = 2000  # records of a topic in one transaction
# A broker is asked about each partition: often for what people wait for, else seldom.
_IDLE_S = 0.4
_OTHERS_EVERY_S = 2.0
_PARTITIONS_EVERY_S = 30.0
_AGAIN_S = 2.0
_CLEAN_EVERY_S = 600.0
# An event follows from embeddings that the log took before it; two machines' clocks may differ.
_CLOCKS_S = 60.0
# Detections that no tracklet took: duplicates, refused ones.
_UNCLAIMED_S = 86_400.0
_TABLES = (
    "sighting",
    "event",
    "pair",
    "calibration",
    "correction",
    "erased",
    "refusal",
    "identity",
    "camera",
)


class Follower:
    """Runs until stopped. ``on_change`` is called after each commit, on this thread."""

    def __init__(
        self, log: Log, topics: TopicSettings, model: ReadModel, on_change: Callable[[], None]
    ) -> None:
        self._log = log
        self._topics = topics
        self._model = model
        self._on_change = on_change
        self._others_at_s = self._partitions_at_s = 0.0
        self._partitions: dict[str, int] = {}
        self.vectors: VectorLibrary | None = None
        self.caught_up = threading.Event()
        self.fault: str | None = None
        self.n_unreadable = 0

    @property
    def trouble(self) -> str | None:
        """What keeps the read model from being all that the log says, in words."""
        if self.fault is not None:
            return f"The log cannot be read: {self.fault}"
        if self.n_unreadable:
            return f"{self.n_unreadable} records of the log are not what their topic promises."
        return None

    def run(self, stop: threading.Event) -> None:
        """The follower's loop; a log that cannot be reached is tried again."""
        with self._model.writing() as connection:
            self.vectors = VectorLibrary(self._model.directory, connection)
            writer = Writer(connection, self.vectors)
            clean_at_s = 0.0
            try:
                while not stop.is_set():
                    if time.monotonic() >= clean_at_s:
                        self._forget(connection)
                        clean_at_s = time.monotonic() + _CLEAN_EVERY_S
                    stop.wait(self._turn(connection, writer))
            finally:
                self.vectors.close()

    def _turn(self, connection: sqlite3.Connection, writer: Writer) -> float:
        """Reads some records; how long to wait then."""
        try:
            n = self._step(connection, writer)
        except (LogError, sqlite3.Error) as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            writer.undo()
            if self.fault is None:
                logger.error("the log cannot be followed, it is tried again: %s", error)
            self.fault = str(error)
            return _AGAIN_S
        if self.fault is not None:
            logger.info("the log is followed again")
        self.fault = None
        self.n_unreadable = writer.n_unreadable
        if n:
            self._on_change()
            return 0.0
        return _IDLE_S

    def _step(self, connection: sqlite3.Connection, writer: Writer) -> int:
        """One transaction; how many records it took."""
        topics = self._topics
        connection.execute("BEGIN")
        events = self._read(connection, topics.identities)
        newest_s = max((r.append_time_s for r in events), default=float("inf"))
        n = self._embeddings(connection, writer, newest_s + _CLOCKS_S) + len(events)
        writer.take(events, writer.identity)
        is_whole = n > 0 or time.monotonic() >= self._others_at_s
        if is_whole:
            n += self._others(connection, writer)
        writer.settle()
        connection.execute("COMMIT")
        writer.show()
        if is_whole:
            self._others_at_s = 0.0 if n else time.monotonic() + _OTHERS_EVERY_S
            if not n:
                self.caught_up.set()
        return n

    def _others(self, connection: sqlite3.Connection, writer: Writer) -> int:
        topics, n = self._topics, 0
        for topic, row in (
            (topics.associations, writer.association),
            (topics.calibrations, writer.calibration),
            (topics.corrections, writer.correction),
            (topics.dead_letters, writer.dead_letter),
        ):
            found = self._read(connection, topic)
            writer.take(found, row)
            n += len(found)
        return n

    def _embeddings(self, connection: sqlite3.Connection, writer: Writer, until_s: float) -> int:
        """Embeddings that the log took up to a time; where no event waits for them, some."""
        n = 0
        while found := self._read(connection, self._topics.embeddings):
            writer.take(found, writer.embedding)
            n += len(found)
            if until_s == float("inf") or max(r.append_time_s for r in found) > until_s:
                break
        return n

    def _read(self, connection: sqlite3.Connection, topic: str) -> list[Record]:
        """The next records of all partitions of a topic; their positions are written."""
        found = []
        for part in range(self._n_partitions(topic)):
            row = connection.execute(
                "SELECT next FROM position WHERE topic = ? AND part = ?", (topic, part)
            ).fetchone()
            some = self._log.read(topic, part, 0 if row is None else row[0], _BATCH)
            if some:
                connection.execute(
                    "INSERT OR REPLACE INTO position VALUES (?, ?, ?)",
                    (topic, part, some[-1].offset + 1),
                )
            found.append(some)
        return list(chain.from_iterable(found))

    def _n_partitions(self, topic: str) -> int:
        if time.monotonic() >= self._partitions_at_s:
            self._partitions.clear()
            self._partitions_at_s = time.monotonic() + _PARTITIONS_EVERY_S
        if not self._partitions.get(topic):
            self._partitions[topic] = self._log.partitions(topic)
        return self._partitions[topic]

    def _forget(self, connection: sqlite3.Connection) -> None:
        """What the log has forgotten is forgotten here too: vectors and crops' places with what is
        personal, the rest with the results."""
        assert self.vectors is not None
        now_s = time.time()
        personal_s = now_s - self._topics.retention_personal_s
        results_s = now_s - self._topics.retention_results_s
        connection.execute("BEGIN")
        old = connection.execute(
            "SELECT extractor, slot FROM sighting WHERE append_s < ? AND slot IS NOT NULL",
            (personal_s,),
        ).fetchall()
        connection.execute(
            "UPDATE sighting SET slot = NULL, crop_topic = NULL WHERE append_s < ?", (personal_s,)
        )
        connection.execute("DELETE FROM detection WHERE append_s < ?", (now_s - _UNCLAIMED_S,))
        for table in _TABLES:
            connection.execute(f"DELETE FROM {table} WHERE append_s < ?", (results_s,))  # noqa: S608
        connection.execute("COMMIT")
        for extractor, slot in old:
            self.vectors.file(extractor).forget([slot])
