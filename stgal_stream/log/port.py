"""The log: topics of records in partitions, offsets per group, and one atomic commit.

The law that the stages build on: ``Subscription.commit`` writes records and offsets together or
not at all, and readers see only what was committed. One conformance suite (tests/log) runs on
every implementation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """One partition of a topic."""

    topic: str
    number: int


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it lies in the log; ``append_time_s`` is when it was written (Unix seconds).

    ``fault`` says why the client could not read what is at this offset; the rest is empty then.
    """

    partition: Partition
    offset: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    append_time_s: float
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A record to write. Without ``partition`` the key decides."""

    topic: str
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """What a topic must be: partitions, retention (None is for ever), compaction by key."""

    name: str
    n_partitions: int = 1
    retention_s: float | None = None
    compacted: bool = False


class Subscription(Protocol):
    """One member of a group reading topics."""

    def assignment(self) -> Mapping[Partition, int]:
        """The partitions that are this member's now, each with its epoch.

        A partition that was taken away and given back has another epoch: others may have worked on
        it, and it is read again from what the group has committed. So what was polled under one
        epoch must not be committed under another.
        """

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """The next committed records, in order by partition; empty when none came in time.

        Raises:
            LogError: the log cannot be reached.
        """

    def commit(self, records: Sequence[NewRecord], offsets: Mapping[Partition, int]) -> None:
        """Writes records and the next offsets to read, all or nothing.

        Raises:
            FencedError: another member took over; nothing was written.
            LogError: it failed; nothing was written.
        """

    def committed(self, partition: Partition) -> int | None:
        """The group's committed offset, None if there is none."""

    def seek(self, partition: Partition, offset: int) -> None:
        """Reads on from an offset."""

    def position(self, partition: Partition) -> int:
        """The offset that is read next."""

    def lags(self) -> dict[Partition, int]:
        """How many offsets lie between what is read next and the end, by assigned partition."""

    def beginning(self, partition: Partition) -> int:
        """The offset of the oldest record kept."""

    def end(self, partition: Partition) -> int:
        """The offset after the newest committed record."""

    def close(self) -> None:
        """Leaves the group."""


class Log(Protocol):
    """A place that keeps topics."""

    @property
    def identity(self) -> str:
        """Tells this log from others: snapshots of one log are worthless for another."""

    def ensure_topics(self, specs: Iterable[TopicSpec]) -> list[str]:
        """Makes missing topics; differences of those that are there, in words."""

    def append(self, records: Sequence[NewRecord]) -> None:
        """Writes records outside any group, all or nothing."""

    def subscribe(self, group: str, topics: Sequence[str], *, keep: bool = True) -> Subscription:
        """Joins a group. Without ``keep``, what the group commits leaves the topics in the same
        transaction and is overwritten, as is what it has committed before.

        Raises:
            PermanentLogError: such a log cannot do without ``keep``.
        """

    def read(self, topic: str, partition: int, offset: int, max_records: int) -> list[Record]:
        """Committed records from an offset on, outside any group."""

    def end(self, topic: str, partition: int) -> int:
        """The offset after the newest committed record."""

    def ends(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        """The same of many, asked at once."""

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """What a group has committed, by partition, as anybody may ask."""

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has; 0 if there is no such topic."""

    def close(self) -> None:
        """Lets go of connections and files."""
