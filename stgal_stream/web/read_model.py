"""The read model: what the log says, in tables that can be asked (SQLite).

Law: every row follows from the log, and how far the log was read is in the same transaction. So the
file can be deleted at any time and is built again. Readers have connections of their own and see
what was committed.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from stgal_stream.errors import DataError
from stgal_stream.log.port import Log
from stgal_stream.settings import TopicSettings

_SQL = (files("stgal_stream") / "web" / "tables.sql").read_text()
# What another version wrote, or what was read from another source, is built again.
_VERSION = hashlib.sha256(_SQL.encode()).hexdigest()[:8]
_BUSY_S = 10.0


class ReadModel:
    """A directory with the tables and, beside them, the vectors, built of a source.

    Raises:
        DataError: the directory cannot be written.
    """

    def __init__(self, directory: Path, source: str) -> None:
        self.directory = directory
        self._path = directory / "site.db"
        self._local = threading.local()
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._prepare(f"{_VERSION} {source}")
        except (OSError, sqlite3.Error) as error:
            raise DataError(
                f"the read model in {directory} cannot be opened: {error}",
                hint="it holds nothing of its own: delete the directory and start again",
            ) from error

    def _prepare(self, about: str) -> None:
        if self._path.exists() and self._about() != about:
            for path in (*self.directory.glob("site.db*"), *self.directory.glob("vectors-*")):
                path.unlink()
        if not self._path.exists():
            with self._opened() as made:
                made.executescript(f"BEGIN; CREATE TABLE about (what TEXT);\n{_SQL}\nCOMMIT;")
                made.execute("INSERT INTO about VALUES (?)", (about,))

    def _about(self) -> str | None:
        try:
            with self._opened() as found:
                return str(found.execute("SELECT what FROM about").fetchone()[0])
        except (sqlite3.DatabaseError, TypeError):
            return None

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA secure_delete = ON")
            yield connection
        finally:
            connection.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The connection of the one writer; close it with the block."""
        with self._opened() as connection:
            yield connection

    def select(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """Rows of a query, on this thread's own connection."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                f"{self._path.resolve().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S
            )
            connection.row_factory = sqlite3.Row
            self._local.connection = connection
        return connection.execute(query, values).fetchall()


def source_of(log: Log, topics: TopicSettings) -> str:
    """What a read model is built of. Who was erased while no page ran is in no topic any more, not
    even that they were: so after an erasure it is another source."""
    there = log.partitions(topics.erasures)
    return f"{log.identity} {log.end(topics.erasures, 0) if there else 0}"
