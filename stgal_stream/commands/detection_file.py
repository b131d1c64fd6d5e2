"""A file of detections -> a log: JSON Lines, or JSON values of any layout, also compressed by gzip
or zstd.

A file whose lines lie as cameras send them, each camera in order and many in turns, is taken as it
is: a clock that is off shows in it as it does in a stream. Any other file (camera after camera, or
shuffled) is taken in order of event time.
"""

from __future__ import annotations

import codecs
import gzip
import io
import json
import math
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import zstandard
from rich.console import Console

from stgal_stream.errors import DataError
from stgal_stream.experiments.sending import LogSink, Message, send
from stgal_stream.log.port import Log, Partition, Record
from stgal_stream.settings import InputSettings
from stgal_stream.wire.detection import decode
from stgal_stream.wire.fields import BadRecord

_MAX_LINE_BYTES = 64 * 1024 * 1024
_MAX_DOCUMENT_BYTES = 512 * 1024 * 1024  # what is not in lines is read as a whole
_HEAD_BYTES = 4096
_PART_BYTES = 256 * 1024
_TURNS = 4  # of each camera: a file with fewer is one of camera after camera
_OUT_OF_ORDER = 0.2  # of a camera's lines: strays and clocks that are set back, but no shuffle
# How files begin that hold detections in another wrapping, and what makes JSON Lines of them.
_WRAPPED = (
    (b"BZh", "compressed by bzip2", "bunzip2 it first"),
    (b"\xfd7zXZ", "compressed by xz", "unxz it first"),
    (b"PK\x03\x04", "a ZIP archive", "unzip it first"),
    (b"\xff\xfe", "in UTF-16", "iconv -f UTF-16 -t UTF-8 makes UTF-8 of it"),
    (b"\xfe\xff", "in UTF-16", "iconv -f UTF-16 -t UTF-8 makes UTF-8 of it"),
)
# frame, track, left, top, width, height, and more numbers
_MOT_LINE = re.compile(rb"\s*\d+,\s*-?\d+(\.\d+)?(,\s*-?\d+(\.\d+)?){4,}\s*[\r\n]")
_Line = tuple[str, float, int, int]  # camera, event time, offset, length


class DetectionFile:
    """The records of a file, in the order in which they are taken. Close it by ``with``.

    Raises:
        DataError: the file cannot be read or holds nothing.
    """

    def __init__(self, path: Path, inputs: InputSettings) -> None:
        with ExitStack() as files:
            try:
                self._content = _as_lines(path, files)
                self._order = _in_order(list(_lines(self._content, inputs)))
            except OSError as error:
                detail = f"{path} cannot be read: {error.strerror or error}"
                raise DataError(detail) from error
            if not self._order:
                hint = "one JSON object per line is expected"
                raise DataError(f"{path} holds no detection", hint=hint)
            self._files = files.pop_all()

    def __enter__(self) -> DetectionFile:
        return self

    def __exit__(self, *fault: object) -> None:
        self._files.close()

    def __len__(self) -> int:
        """How many records there are. Blank lines do not count."""
        return len(self._order)

    @property
    def n_unusable(self) -> int:
        """Records that show nobody, or cannot be read."""
        return sum(time_s == -math.inf for _, time_s, _, _ in self._order)

    def messages(self, first: int = 0) -> Iterator[Message]:
        """The records from the given one on; those that cannot be used have no camera and no
        time."""
        for camera, time_s, offset, length in self._order[first:]:
            self._content.seek(offset)
            yield Message(camera, time_s, self._content.read(length).strip())


def load_into(log: Log, topic: str, path: Path, inputs: InputSettings, console: Console) -> int:
    """Appends every record of a file; how many there are.

    Raises:
        DataError: the file cannot be read or holds nothing.
    """
    with DetectionFile(path, inputs) as file:
        send((m._replace(key="") for m in file.messages()), LogSink(log, topic))
        console.print(f"{len(file)} records read from {path}")
        return len(file)


# --- wrappings -------------------------------------------------------------------------------


def _as_lines(path: Path, files: ExitStack) -> IO[bytes]:
    """The file, or what is in it as JSON Lines; everything opened is left to ``files``."""
    plain: IO[bytes] = files.enter_context(path.open("rb"))
    head = plain.read(_HEAD_BYTES)
    for magic, (name, unpack) in _PACKED.items():
        if head.startswith(magic):
            inside = files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115  # ``files`` does
            plain.seek(0)
            try:
                unpack(plain, inside)
            except (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
                detail = f"{path} cannot be read: it is a broken {name} file ({error})"
                raise DataError(detail, hint="copy it once more, to its end") from error
            plain = inside
    plain.seek(0)
    head = plain.read(_HEAD_BYTES)
    plain.seek(0)
    _refuse_foreign(path, head)
    if not _is_document(head):
        return plain
    text = plain.read(_MAX_DOCUMENT_BYTES + 1)
    if len(text) > _MAX_DOCUMENT_BYTES:
        most = f"{_MAX_DOCUMENT_BYTES / 1024**2:.0f} MB"
        raise DataError(
            f"{path} is one JSON value of more than {most}",
            hint="`jq -c '.[]'` makes JSON Lines of an array",
        )
    return io.BytesIO(b"".join(json.dumps(v).encode() + b"\n" for v in _values(path, text)))


def _gunzip(packed: IO[bytes], out: IO[bytes]) -> None:
    with gzip.open(packed) as content:
        shutil.copyfileobj(content, out)


def _unzstd(packed: IO[bytes], out: IO[bytes]) -> None:
    """Frame after frame; the library's own reader says nothing of a file that ends too early."""
    frame = zstandard.ZstdDecompressor().decompressobj()
    while part := packed.read(_PART_BYTES):
        while part:
            if frame.eof:
                frame = zstandard.ZstdDecompressor().decompressobj()
            out.write(frame.decompress(part))
            part = frame.unused_data
    if not frame.eof:
        raise EOFError("it ends in the middle of a frame")


# How compressed files begin: what compressed them, and what reads that.
_PACKED = {b"\x1f\x8b": ("gzip", _gunzip), b"\x28\xb5\x2f\xfd": ("zstd", _unzstd)}


def _refuse_foreign(path: Path, head: bytes) -> None:
    """What can hold no line of JSON is said to be so once, and not once a line."""
    for magic, what, hint in _WRAPPED:
        if head.startswith(magic):
            raise DataError(f"{path} is {what}, not JSON Lines", hint=hint)
    if _MOT_LINE.match(head):
        raise DataError(
            f"{path} is a MOTChallenge file: positions, and no pictures",
            hint="publish each box with its crop or vector, its camera and its time",
        )
    if b"\x00" in head:
        raise DataError(
            f"{path} is a binary file, not JSON Lines", hint="one JSON object per line is expected"
        )


def _is_document(head: bytes) -> bool:
    """Whether a file begins as JSON does that is not in lines: an array, or an object whose first
    line does not end it."""
    begin = head.removeprefix(codecs.BOM_UTF8).lstrip()
    first = begin.split(b"\n", 1)[0].strip()
    return begin.startswith(b"[") or first == b"{"


def _values(path: Path, content: bytes) -> Iterator[Any]:
    """The values of arrays, and of objects that follow each other."""
    try:
        text = content.decode("utf-8-sig")
        decoder, at = json.JSONDecoder(), 0
        while at < len(text) and (at := _next(text, at)) < len(text):
            value, at = decoder.raw_decode(text, at)
            yield from value if isinstance(value, list) else [value]
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path} is no JSON: {error}", hint="one JSON object per line is expected"
        ) from error


def _next(text: str, at: int) -> int:
    """Where the next value begins."""
    while at < len(text) and text[at] in " \t\r\n,":
        at += 1
    return at


# --- order -----------------------------------------------------------------------------------


def _lines(lines: IO[bytes], inputs: InputSettings) -> Iterator[_Line]:
    """Every line. What has no readable time has minus infinity: it is refused without moving the
    clock."""
    offset = 0
    while line := lines.readline(_MAX_LINE_BYTES):
        if content := line.removeprefix(codecs.BOM_UTF8).strip():
            yield *_camera_and_time(content, inputs), offset, len(line)
        offset += len(line)


def _camera_and_time(line: bytes, inputs: InputSettings) -> tuple[str, float]:
    record = Record(Partition("", 0), 0, None, line, (), math.inf)
    try:
        messages = decode(record, inputs).messages
    except BadRecord:
        messages = ()
    if not messages:
        return "", float("-inf")
    return messages[0].camera, messages[0].time_s


def _in_order(lines: list[_Line]) -> list[_Line]:
    if _is_as_sent(lines):
        return lines
    return sorted(lines, key=lambda line: line[1:3])


def _is_as_sent(lines: list[_Line]) -> bool:
    """Whether lines lie as several cameras send them."""
    timed = [line for line in lines if line[1] > float("-inf")]
    n_turns = 1 + sum(a[0] != b[0] for a, b in pairwise(timed))
    times: dict[str, list[float]] = {}
    for camera, time_s, _, _ in timed:
        times.setdefault(camera, []).append(time_s)
    if n_turns < _TURNS * len(times):
        return False
    n_back = sum(a > b for mine in times.values() for a, b in pairwise(mine))
    return n_back <= _OUT_OF_ORDER * len(timed)
