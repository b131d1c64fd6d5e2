"""Errors that say what happened, whose fault it is and what to do about it."""

from __future__ import annotations


class StgalError(Exception):
    """Anything this package raises on purpose.

    ``hint`` is the next step for the person who reads the message; ``exit_code`` is what the
    command line ends with.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(StgalError):
    """The configuration or the command line cannot be used: the operator's to mend."""

    exit_code = 2


class DataError(StgalError):
    """A file or directory that the user named cannot be used."""

    exit_code = 2


class LogError(StgalError):
    """The log (Kafka or embedded) could not be reached or refused an operation."""

    exit_code = 3


class PermanentLogError(LogError):
    """The log cannot be used and no waiting mends it: held by another, or a record that it will
    never take."""


class DamagedLogError(LogError):
    """The log's file is not what was written. A disk that cannot be read for a while looks the same
    (SQLite tells no difference), so this is permanent only where it comes again and again."""


class FencedError(PermanentLogError):
    """Another worker took over: this one must stop without writing anything more."""


class ModelError(StgalError):
    """An extractor is missing, broken or not what it says it is."""

    exit_code = 4


class SnapshotError(StgalError):
    """A snapshot cannot be read; recovery goes on without it."""
