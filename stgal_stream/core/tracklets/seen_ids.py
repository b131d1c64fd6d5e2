"""Detection ids seen in the window, so that a record sent twice is used once."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable


class SeenIds:
    """Ids by their 64-bit hash (8 bytes instead of a string), forgotten after the window.

    ``entries`` are (event time, hash), oldest first, as ``entries`` gave them before.
    """

    def __init__(self, window_s: float, entries: Iterable[tuple[float, int]] = ()) -> None:
        self._window_s = window_s
        self._order: deque[tuple[float, int]] = deque(entries)
        self._seen = {key for _, key in self._order}

    def __len__(self) -> int:
        return len(self._seen)

    def __contains__(self, name: str) -> bool:
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

    @property
    def entries(self) -> list[tuple[float, int]]:
        """Everything remembered."""
        return list(self._order)


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
