"""Reads several partitions in order of event time.

Each camera's partition is in order, but a backlog comes partition by partition: read as it comes,
one camera would run minutes ahead and make all others late. So partitions are merged by event time,
and one that is empty here but not in the log is waited for. A partition stays in the order of its
log: it is as far as the least event time that it holds, so a record of the future holds nothing up.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from stgal_stream.log.port import Partition, Record, Subscription

Item = TypeVar("Item")

# An empty partition whose records the log has is waited for as long as Kafka's client waits for an
# answer (request_timeout_ms): only a broker that fails is slower.
_PATIENCE_S = 30.0
_LAGGARD_POLL_S = 0.05
_MAX_BUFFERED = 4_000
_MAX_BUFFERED_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Item]):
    time_s: float
    item: Item
    n_bytes: int
    append_time_s: float


class _Queue(Generic[Item]):
    """What waits of one partition, in the order of its log. ``minima`` are the event times that no
    later one is below, so the first is the least of all."""

    def __init__(self) -> None:
        self._waiting: deque[_Waiting[Item]] = deque()
        self._minima: deque[float] = deque()
        self.n_bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def time_s(self) -> float:
        """How far the partition is; minus infinity where its first item has no time."""
        has_time = math.isfinite(self._waiting[0].time_s)
        return self._minima[0] if has_time else -math.inf

    @property
    def append_time_s(self) -> float:
        """When its first record was appended."""
        return self._waiting[0].append_time_s

    def push(self, waiting: _Waiting[Item]) -> None:
        self._waiting.append(waiting)
        self.n_bytes += waiting.n_bytes
        if math.isfinite(waiting.time_s):
            while self._minima and self._minima[-1] > waiting.time_s:
                self._minima.pop()
            self._minima.append(waiting.time_s)

    def pop(self) -> _Waiting[Item]:
        first = self._waiting.popleft()
        self.n_bytes -= first.n_bytes
        if self._minima and first.time_s == self._minima[0]:
            self._minima.popleft()
        return first


class EventTimeMerge(Generic[Item]):
    """Merges what a subscription gives.

    ``read`` makes an item of a record and says its event time (seconds); one without a usable time
    gives minus infinity and comes out at once. Memory is bounded: beyond ``max_buffered`` items or
    ``max_bytes`` of records nothing more is read, and no partition is waited for.
    """

    def __init__(
        self,
        subscription: Subscription,
        read: Callable[[Record], tuple[float, Item]],
        *,
        max_buffered: int = _MAX_BUFFERED,
        max_bytes: int = _MAX_BUFFERED_BYTES,
    ) -> None:
        self._subscription = subscription
        self._read = read
        self._max_buffered = max_buffered
        self._max_bytes = max_bytes
        self._waiting: dict[Partition, _Queue[Item]] = {}
        self._epochs: dict[Partition, int] = {}

    @property
    def n_buffered(self) -> int:
        """Items read and not yet taken."""
        return sum(map(len, self._waiting.values()))

    @property
    def first_append_s(self) -> float:
        """When the oldest of the records that come first was appended; minus infinity if none
        waits."""
        return min((q.append_time_s for q in self._waiting.values() if q), default=-math.inf)

    def epoch(self, partition: Partition) -> int:
        """Under which epoch of its partition an item was read that came out just now."""
        return self._epochs[partition]

    def take(self, n: int, timeout_s: float, until_s: float = math.inf) -> list[Item]:
        """Up to ``n`` items, the earliest first; empty where none came in time. What was appended
        after ``until_s`` has to wait, as long as there is room."""
        if not self._is_full():
            self._fill(n, 0.0 if self.n_buffered else timeout_s)
        if self.n_buffered:
            self._wait_for_laggards(n)
        if self._is_full():
            until_s = math.inf
        taken: list[Item] = []
        while len(taken) < n:
            waiting = {p: items for p, items in self._waiting.items() if items}
            full = {p: q for p, q in waiting.items() if q.append_time_s <= until_s}
            if not full:
                break
            first = min(full, key=lambda p: (full[p].time_s, p))
            out = full[first].pop()
            taken.append(out.item)
            if not full[first] and len(waiting) > 1 and out.time_s > float("-inf"):
                break  # it may hold more that comes before what the others have
        return taken

    def check_assignment(self) -> None:
        """Hears of partitions that came or went, as a member of a group has to; takes nothing."""
        for record in self._poll(1, 0.0):
            self._subscription.seek(record.partition, record.offset)

    def _is_full(self) -> bool:
        if self.n_buffered >= self._max_buffered:
            return True
        return sum(queue.n_bytes for queue in self._waiting.values()) >= self._max_bytes

    def _fill(self, n: int, timeout_s: float) -> None:
        for record in self._poll(n, timeout_s):
            items = self._waiting.get(record.partition)
            if items is not None:
                time_s, item = self._read(record)
                items.push(_Waiting(time_s, item, len(record.value), record.append_time_s))

    def _poll(self, n: int, timeout_s: float) -> list[Record]:
        records = self._subscription.poll(n, timeout_s)
        epochs = dict(self._subscription.assignment())
        # What was read under another epoch is read again.
        self._waiting = {
            p: self._waiting[p] if self._epochs.get(p) == epoch else _Queue()
            for p, epoch in sorted(epochs.items())
        }
        self._epochs = epochs
        return records

    def _wait_for_laggards(self, n: int) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline and not self._is_full():
            empty = [p for p, items in self._waiting.items() if not items]
            if not empty:
                return
            lags = self._subscription.lags()
            if not any(lags.get(p, 0) > 0 for p in empty):
                return
            self._fill(n, _LAGGARD_POLL_S)
