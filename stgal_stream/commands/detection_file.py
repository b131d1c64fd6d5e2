"""A file of detections -> a log. A file has an end, so it is taken in order of event time: nothing
in it is late, however its lines lie."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console

from stgal_stream.errors import DataError
from stgal_stream.log.port import Log, NewRecord
from stgal_stream.wire.detection import BadRecord, parse_time_s

_BATCH = 500
_MAX_LINE_BYTES = 64 * 1024 * 1024


def load_into(log: Log, topic: str, path: Path, console: Console) -> int:
    """Appends every line of a JSON Lines file; how many there are. Blank lines do not count.

    Raises:
        DataError: the file cannot be read or holds nothing.
    """
    try:
        with path.open("rb") as lines:
            order = _by_time(lines)
            batch: list[NewRecord] = []
            for _, offset, length in order:
                lines.seek(offset)
                batch.append(NewRecord(topic, None, lines.read(length)))
                if len(batch) == _BATCH:
                    log.append(batch)
                    batch = []
            if batch:
                log.append(batch)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if not order:
        raise DataError(f"{path} holds no detection", hint="one JSON object per line is expected")
    console.print(f"{len(order)} records read from {path}")
    return len(order)


def _by_time(lines) -> list[tuple[float, int, int]]:  # type: ignore[no-untyped-def]
    """(event time, offset, length) of every line, in order of event time; what has no readable
    time comes first, where it is refused without moving the clock."""
    found = []
    offset = 0
    while line := lines.readline(_MAX_LINE_BYTES):
        content = line.strip()
        if content:
            found.append((_time_s(content), offset, len(line)))
        offset += len(line)
    return sorted(found, key=lambda entry: (entry[0], entry[1]))


def _time_s(line: bytes) -> float:
    try:
        return parse_time_s(json.loads(line)["timestamp"])
    except (BadRecord, ValueError, TypeError, KeyError, RecursionError):
        return float("-inf")
