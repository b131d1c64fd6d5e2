"""Reads several partitions in order of event time.

Each camera's partition is in order, but a backlog comes partition by partition: read as it comes,
one camera would run minutes ahead and make everybody else late. So partitions are merged by event
time, and one that is empty here but not in the log is waited for.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from stgal_stream.log.port import Partition, Record, Subscription

Item = TypeVar("Item")

_PATIENCE_S = 1.0
_MAX_BUFFERED = 4_000


class EventOrder(Generic[Item]):
    """Merges what a subscription gives.

    ``read`` makes an item of a record and says its event time (seconds); one without a usable time
    gives minus infinity and comes out at once.
    """

    def __init__(
        self, subscription: Subscription, read: Callable[[Record], tuple[float, Item]]
    ) -> None:
        self._subscription = subscription
        self._read = read
        self._waiting: dict[Partition, deque[tuple[float, int, Item]]] = {}

    @property
    def n_buffered(self) -> int:
        """Items read and not yet taken."""
        return sum(map(len, self._waiting.values()))

    def take(self, most: int, timeout_s: float) -> list[Item]:
        """Up to ``most`` items, the earliest first; empty where none came in time."""
        self._poll(most, 0.0 if self.n_buffered else timeout_s)
        if self.n_buffered:
            self._wait_for_laggards(most)
        taken: list[Item] = []
        while len(taken) < most:
            full = {p: items for p, items in self._waiting.items() if items}
            if not full:
                break
            first = min(full, key=lambda p: (full[p][0][0], p))
            taken.append(full[first].popleft()[2])
            if not full[first] and len(full) > 1:
                break  # it may hold more that comes before what the others have
        return taken

    def _poll(self, most: int, timeout_s: float) -> int:
        records = self._subscription.poll(most, timeout_s)
        assigned = self._subscription.assignment()
        self._waiting = {p: self._waiting.get(p, deque()) for p in sorted(assigned)}
        for record in records:
            items = self._waiting.get(record.partition)
            if items is None:
                continue
            if items and record.offset <= items[-1][1]:
                items.clear()  # the partition went away and came back: it is read again
            time_s, item = self._read(record)
            items.append((time_s, record.offset, item))
        return len(records)

    def _wait_for_laggards(self, most: int) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while self.n_buffered < _MAX_BUFFERED and time.monotonic() < deadline:
            empty = [p for p, items in self._waiting.items() if not items]
            if not empty:
                return
            lags = self._subscription.lags()
            if not any(lags.get(p, 0) > 0 for p in empty):
                return
            self._poll(most, 0.05)
