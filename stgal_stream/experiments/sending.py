"""Messages on their way into a log or a file, as fast as they happened or faster."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from stgal_stream.errors import DataError
from stgal_stream.log.port import Log, NewRecord
from stgal_stream.replacing import is_device

_BATCH_RECORDS = 256
_BATCH_S = 0.25


class Message(NamedTuple):
    """A record to be sent: its key, its event time (-inf where it has none) and its value."""

    key: str
    time_s: float
    body: bytes


class Sink(Protocol):
    """Where a replay goes."""

    def send(self, batch: list[tuple[str, bytes]]) -> None:
        """Writes detections, each with its camera."""

    def finish(self) -> None:
        """Everything was sent."""

    def close(self) -> None:
        """Lets go of what was opened."""


class LogSink:
    """The detections topic of a log, keyed by camera; what has no camera has no key."""

    def __init__(self, log: Log, topic: str) -> None:
        self._log = log
        self._topic = topic

    def finish(self) -> None:
        """What was appended is there already."""

    def close(self) -> None:
        """The log is its owner's to close."""

    def send(self, batch: list[tuple[str, bytes]]) -> None:
        """Appends the batch."""
        self._log.append(
            [NewRecord(self._topic, key.encode() if key else None, body) for key, body in batch]
        )


class FileSink:
    """A JSON Lines file. Until all is sent it lies beside its place, as ``.part``, and what was in
    its place stays; ``resume`` appends to that part. A device or a pipe is written to directly.

    Raises:
        DataError: it cannot be written to.
    """

    def __init__(self, path: Path, *, resume: bool) -> None:
        self._path = path
        self._part = part_of(path)
        with self._said():
            self._out = self._part.open("ab" if resume else "wb")

    def close(self) -> None:
        """Closes the file; what was sent so far stays beside its place."""
        with self._said():
            self._out.close()

    def send(self, batch: list[tuple[str, bytes]]) -> None:
        """Appends the batch, a line each."""
        with self._said():
            self._out.write(b"".join(body + b"\n" for _, body in batch))
            self._out.flush()

    def finish(self) -> None:
        """Everything was sent: the file takes its place."""
        with self._said():
            self._out.close()
            if self._part != self._path:
                self._part.replace(self._path.resolve())

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(
                f"{self._path} cannot be written to: {error.strerror}",
                hint=f"what was sent so far lies in {self._part}; --resume goes on",
            ) from error


def part_of(path: Path) -> Path:
    """Where a file lies until all of it is sent."""
    if is_device(path):
        return path
    target = path.resolve()
    return target.with_name(target.name + ".part")


def send(
    messages: Iterable[Message],
    sink: Sink,
    *,
    speed: float = 0.0,
    first: int = 0,
    on_sent: Callable[[int], None] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Sends messages as they follow, after the ``first`` that were sent before; else as
    ``replay``. One without a time goes with the one before it."""
    sent = first
    batch: list[tuple[str, bytes]] = []
    began_s = time.monotonic()
    zero_s: float | None = None
    flushed_s = began_s

    def flush() -> None:
        nonlocal sent, flushed_s
        if batch:
            sink.send(batch)
            sent += len(batch)
            batch.clear()
            if on_sent is not None:
                on_sent(sent)
        flushed_s = time.monotonic()

    due_s = 0.0
    for message in messages:
        if speed > 0 and math.isfinite(message.time_s):
            zero_s = message.time_s if zero_s is None else zero_s
            due_s = began_s + (message.time_s - zero_s) / speed
        while not stopped() and (wait_s := due_s - time.monotonic()) > 0:
            flush()
            time.sleep(min(wait_s, 0.1))
        if stopped():
            break
        batch.append((message.key, message.body))
        if len(batch) >= _BATCH_RECORDS or time.monotonic() - flushed_s > _BATCH_S:
            flush()
    flush()
    return sent
