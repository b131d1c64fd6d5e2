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
_HEAD_BYTES = 4096
# How files begin that hold detections in another wrapping, and what makes JSON Lines of them.
_WRAPPED = (
    (b"\x1f\x8b", "compressed by gzip", "gunzip it first"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "unzstd it first"),
    (b"BZh", "compressed by bzip2", "bunzip2 it first"),
    (b"\xfd7zXZ", "compressed by xz", "unxz it first"),
    (b"PK\x03\x04", "a ZIP archive", "unzip it first"),
    (b"\xff\xfe", "in UTF-16", "iconv -f UTF-16 -t UTF-8 makes UTF-8 of it"),
    (b"\xfe\xff", "in UTF-16", "iconv -f UTF-16 -t UTF-8 makes UTF-8 of it"),
)


def load_into(log: Log, topic: str, path: Path, console: Console) -> int:
    """Appends every line of a JSON Lines file; how many there are. Blank lines do not count.

    Raises:
        DataError: the file cannot be read or holds nothing.
    """
    try:
        with path.open("rb") as lines:
            _refuse_foreign(path, lines.read(_HEAD_BYTES))
            lines.seek(0)
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


def _refuse_foreign(path: Path, head: bytes) -> None:
    """What can hold no line of JSON is said to be so once, and not once a line."""
    for magic, what, hint in _WRAPPED:
        if head.startswith(magic):
            raise DataError(f"{path} is {what}, not JSON Lines", hint=hint)
    if b"\x00" in head:
        raise DataError(
            f"{path} is a binary file, not JSON Lines", hint="one JSON object per line is expected"
        )


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
