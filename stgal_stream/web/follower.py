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
from stgal_stream.log.port import Log, Partition, Record
from stgal_stream.settings import TopicSettings
from stgal_stream.web.read_model import ReadModel
from stgal_stream.web.rows import Writer
from stgal_stream.web.vector_library import VectorLibrary

logger = logging.getLogger(__name__)

_BATCH = 2000  # records of a topic in one transaction
# After all was read, so long until the next look: what comes meanwhile is one transaction, and the
# log is asked a few times a second, however fast it grows.
_PAUSE_S = 0.25
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
    "past_median",
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
        self._partitions_at_s = 0.0
        self._partitions: dict[str, list[Partition]] = {}
        self._read_to: dict[Partition, int] = {}  # the log's ends when they were reached
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
            self._read_to.clear()
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
        if n >= _BATCH:
            return 0.0
        self.caught_up.set()
        return _PAUSE_S

    def _step(self, connection: sqlite3.Connection, writer: Writer) -> int:
        """One transaction; how many records it took."""
        topics = self._topics
        partitions = self._known_partitions()
        ends = self._log.ends(list(chain.from_iterable(partitions.values())))
        grown = {at: end for at, end in ends.items() if self._read_to.get(at) != end}
        if not grown:
            return 0
        connection.execute("BEGIN")
        events = self._read(connection, grown, topics.identities)
        if events:  # what they follow from may be newer than the ends
            grown |= {at: ends[at] for at in partitions[topics.embeddings]}
        newest_s = max((r.append_time_s for r in events), default=float("inf"))
        n = self._embeddings(connection, writer, grown, newest_s + _CLOCKS_S)
        for found, row in (
            (events, writer.identity),
            (self._read(connection, grown, topics.associations), writer.association),
            (self._read(connection, grown, topics.calibrations), writer.calibration),
            (self._read(connection, grown, topics.corrections), writer.correction),
            (self._read(connection, grown, topics.dead_letters), writer.dead_letter),
        ):
            writer.take(found, row)
            n += len(found)
        writer.settle()
        connection.execute("COMMIT")
        writer.show()
        return n

    def _embeddings(
        self,
        connection: sqlite3.Connection,
        writer: Writer,
        grown: dict[Partition, int],
        until_s: float,
    ) -> int:
        """Embeddings that the log took up to a time; where no event waits for them, some."""
        n = 0
        while found := self._read(connection, grown, self._topics.embeddings):
            writer.take(found, writer.embedding)
            n += len(found)
            if until_s == float("inf") or max(r.append_time_s for r in found) > until_s:
                break
        return n

    def _read(
        self, connection: sqlite3.Connection, grown: dict[Partition, int], topic: str
    ) -> list[Record]:
        """The next records of the partitions of a topic that have grown; their positions are
        written."""
        found = []
        for at in self._partitions[topic]:
            if at not in grown:
                continue
            row = connection.execute(
                "SELECT next FROM position WHERE topic = ? AND part = ?", (topic, at.number)
            ).fetchone()
            some = self._log.read(topic, at.number, 0 if row is None else row[0], _BATCH)
            if some:
                connection.execute(
                    "INSERT OR REPLACE INTO position VALUES (?, ?, ?)",
                    (topic, at.number, some[-1].offset + 1),
                )
            if len(some) < _BATCH:
                self._read_to[at] = grown[at]
            found.append(some)
        return list(chain.from_iterable(found))

    def _known_partitions(self) -> dict[str, list[Partition]]:
        """The partitions of each topic; asked for now and then, since there may be more."""
        now_s = time.monotonic()
        if now_s >= self._partitions_at_s:
            topics = self._topics
            self._partitions = {
                topic: [Partition(topic, n) for n in range(self._log.partitions(topic))]
                for topic in (
                    topics.identities,
                    topics.embeddings,
                    topics.associations,
                    topics.calibrations,
                    topics.corrections,
                    topics.dead_letters,
                )
            }
            all_there = all(self._partitions.values())
            self._partitions_at_s = now_s + (_PARTITIONS_EVERY_S if all_there else _AGAIN_S)
        return self._partitions

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
