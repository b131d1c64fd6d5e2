"""Write transactions of the embedded log, and what SQLite's faults mean."""

from __future__ import annotations

import sqlite3

from stgal_stream.errors import DamagedLogError, LogError

_BROKEN = ("malformed", "not a database", "file is encrypted", "disk image")
_HINTS = {
    "full": "make room on its disk",
    "disk i/o error": "the disk fails, is full, or was made read-only: see the kernel's messages",
    "readonly": "it may not be written to: see its rights, and whether the disk is read-only",
}


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
                raise fault("could not commit", failure) from failure
        self._rollback()
        if isinstance(error, sqlite3.Error):
            raise fault("could not be written to", error)

    def _rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


def fault(what: str, error: sqlite3.Error) -> LogError:
    """A fault of SQLite, and what to do."""
    text, said = f"the embedded log {what}: {error}", str(error).lower()
    if any(sign in said for sign in _BROKEN):
        return DamagedLogError(
            text,
            hint="its file is damaged, or the disk cannot be read (see the kernel's messages): "
            "restore it, or begin a new log in another directory",
        )
    return LogError(text, hint=next((hint for sign, hint in _HINTS.items() if sign in said), None))
