"""Reads several partitions in order of event time.

Each camera's partition is in order, but a backlog comes partition by partition: read as it comes,
one camera would run minutes ahead and make all others late. So partitions are merged by event time,
and one that is empty here but not in the log is waited for.
"""

from __future__ import annotations

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
        self._waiting: dict[Partition, deque[_Waiting[Item]]] = {}
        self._epochs: dict[Partition, int] = {}

    @property
    def n_buffered(self) -> int:
        """Items read and not yet taken."""
        return sum(map(len, self._waiting.values()))

    def epoch(self, partition: Partition) -> int:
        """Under which epoch of its partition an item was read that came out just now."""
        return self._epochs[partition]

    def take(self, n: int, timeout_s: float) -> list[Item]:
        """Up to ``n`` items, the earliest first; empty where none came in time."""
        if not self._is_full():
            self._fill(n, 0.0 if self.n_buffered else timeout_s)
        if self.n_buffered:
            self._wait_for_laggards(n)
        taken: list[Item] = []
        while len(taken) < n:
            full = {p: items for p, items in self._waiting.items() if items}
            if not full:
                break
            first = min(full, key=lambda p: (full[p][0].time_s, p))
            out = full[first].popleft()
            taken.append(out.item)
            if not full[first] and len(full) > 1 and out.time_s > float("-inf"):
                break  # it may hold more that comes before what the others have
        return taken

    def check_assignment(self) -> None:
        """Hears of partitions that came or went, as a member of a group has to; takes nothing."""
        for record in self._poll(1, 0.0):
            self._subscription.seek(record.partition, record.offset)

    def _is_full(self) -> bool:
        if self.n_buffered >= self._max_buffered:
            return True
        return sum(w.n_bytes for q in self._waiting.values() for w in q) >= self._max_bytes

    def _fill(self, n: int, timeout_s: float) -> None:
        for record in self._poll(n, timeout_s):
            items = self._waiting.get(record.partition)
            if items is not None:
                time_s, item = self._read(record)
                items.append(_Waiting(time_s, item, len(record.value)))

    def _poll(self, n: int, timeout_s: float) -> list[Record]:
        records = self._subscription.poll(n, timeout_s)
        epochs = dict(self._subscription.assignment())
        # What was read under another epoch is read again.
        self._waiting = {
            p: self._waiting[p] if self._epochs.get(p) == epoch else deque()
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
