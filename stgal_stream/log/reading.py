"""Reads a topic outside any group: from an offset on, to an end."""

from __future__ import annotations

from collections.abc import Iterator

from stgal_stream.log.port import Log, Record

_CHUNK = 500  # records at a time: some MB where they hold crops


def records(
    log: Log, topic: str, partition: int, start: int = 0, stop: int | None = None
) -> Iterator[Record]:
    """The committed records from offset ``start`` on that lie before ``stop``, or before the end as
    it is when reached. What retention has taken is left out.

    Raises:
        LogError: the log cannot be read.
    """
    offset = start
    while stop is None or offset < stop:
        found = log.read(topic, partition, offset, _CHUNK)
        if not found:
            return
        for record in found:
            if stop is not None and record.offset >= stop:
                return
            yield record
        offset = found[-1].offset + 1


def values(log: Log, topic: str) -> Iterator[bytes]:
    """The values of all records of a topic, partition by partition."""
    for partition in range(log.partitions(topic)):
        for record in records(log, topic, partition):
            yield record.value
