"""Detection ids seen in the window, so that a record sent twice is used once."""

from __future__ import annotations

import hashlib
from collections import deque


class RecentIds:
    """Ids by their 64-bit hash (8 bytes instead of a string), forgotten after the window."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._seen: set[int] = set()
        self._order: deque[tuple[float, int]] = deque()

    def __len__(self) -> int:
        return len(self._seen)

    def has(self, name: str) -> bool:
        """Whether the id was added and is not forgotten."""
        return _hash(name) in self._seen

    def add(self, name: str, time_s: float) -> None:
        """Remembers an id seen at an event time."""
        key = _hash(name)
        self._seen.add(key)
        self._order.append((time_s, key))

    def forget(self, now_s: float) -> None:
        """Forgets ids older than the window at an event time."""
        while self._order and self._order[0][0] < now_s - self._window_s:
            self._seen.discard(self._order.popleft()[1])

    def dump(self) -> list[tuple[float, int]]:
        """Everything remembered, for a snapshot."""
        return list(self._order)

    def load(self, entries: list[tuple[float, int]]) -> None:
        """Takes back what ``dump`` gave."""
        self._order = deque((time_s, key) for time_s, key in entries)
        self._seen = {key for _, key in self._order}


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
