"""Write transactions of the embedded log, and what SQLite's faults mean."""

from __future__ import annotations

import sqlite3

from stgal_stream.errors import LogError, PermanentLogError

_BROKEN = ("malformed", "not a database", "file is encrypted", "disk image")


class Writing:
    """A write transaction: BEGIN IMMEDIATE, then COMMIT or ROLLBACK."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> sqlite3.Connection:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise fault("cannot be written to", error) from error
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
        if isinstance(error, sqlite3.Error):
            raise fault("could not be written to", error)

    def _rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


def fault(what: str, error: sqlite3.Error) -> LogError:
    """A fault of SQLite: one that a broken file causes does not pass."""
    text = f"the embedded log {what}: {error}"
    if any(sign in str(error).lower() for sign in _BROKEN):
        return PermanentLogError(
            text, hint="its file is damaged: restore it, or begin a new log in another directory"
        )
    return LogError(text)
