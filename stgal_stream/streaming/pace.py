"""Workers go through a backlog side by side.

Each embed worker has some partitions. One that ran ahead of the others would make what they still
have to read late for the associate stage, which knows one order only: that of the embeddings. So
nobody takes a record that was appended more than some seconds after one that somebody else has
still to take. The oldest of all can always be taken, so somebody always goes on; a partition that
does not move for half a minute (nobody reads it) is waited for no longer.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass

from stgal_stream.log.port import Log, Partition, Subscription

logger = logging.getLogger(__name__)

_LOOK_S = 0.02  # so often the others are asked while they are waited for
_AT_REST_S = 0.1  # so often, at most, while none of them is behind
_ALONE_S = 10.0  # so often whether there are others at all
_PATIENCE_S = 30.0


@dataclass(slots=True)
class _Other:
    """Somebody else's partition: what it was at, and since when (by this machine's clock)."""

    offset: int
    since_s: float
    is_given_up: bool = False


class Pace:
    """How far a worker may read a topic, by the log's clock: ``ahead_s`` further than the
    others."""

    def __init__(
        self,
        log: Log,
        group: str,
        topic: str,
        subscription: Subscription,
        *,
        ahead_s: float,
    ) -> None:
        self._log = log
        self._group = group
        self._topic = topic
        self._subscription = subscription
        self._ahead_s = ahead_s
        self._until_s = -math.inf
        self._next_look_s = 0.0
        self._is_free = False  # nobody was behind at the last look
        self._others: dict[int, _Other] = {}

    def look_again(self) -> None:
        """Partitions came or went."""
        self._until_s, self._next_look_s, self._is_free = -math.inf, 0.0, False

    def until_s(self, first_s: float) -> float:
        """Records that were appended up to that time may be taken. ``first_s`` is when the first
        that waits here was appended, minus infinity if none does.

        Raises:
            LogError: the log failed.
        """
        now = time.monotonic()
        if first_s > self._until_s and now >= self._next_look_s:
            self._look(first_s, now)
        is_free = self._is_free and now < self._next_look_s
        return math.inf if is_free else self._until_s

    def others_are_done(self) -> bool:
        """Whether nothing is left of what others take. A worker that stops leaves its partitions to
        those that go on, which takes a while.

        Raises:
            LogError: the log failed.
        """
        others = self._taken_by_others()
        committed = self._log.committed(self._group, self._topic) if others else {}
        return not any(self._log.read(self._topic, n, committed.get(n, 0), 1) for n in others)

    def _taken_by_others(self) -> list[int]:
        mine = self._subscription.assignment()
        numbers = range(self._log.partitions(self._topic))
        return [n for n in numbers if Partition(self._topic, n) not in mine]

    def _look(self, first_s: float, now: float) -> None:
        others = self._taken_by_others()
        self._others = {n: other for n, other in self._others.items() if n in others}
        committed = self._log.committed(self._group, self._topic) if others else {}
        found = (self._next_s(n, committed.get(n, 0), now) for n in others)
        slowest_s = min(found, default=math.inf)
        self._is_free = math.isinf(slowest_s)
        again_s = _AT_REST_S if others else _ALONE_S
        self._next_look_s = now + (again_s if self._is_free else _LOOK_S)
        # What was appended by now, others have taken too.
        self._until_s = (first_s if self._is_free else slowest_s) + self._ahead_s

    def _next_s(self, number: int, offset: int, now: float) -> float:
        """When the next record of somebody else's partition, at an offset, was appended; infinity
        where all of it was taken."""
        left = self._log.end(self._topic, number) > offset
        records = self._log.read(self._topic, number, offset, 1) if left else []
        if not records:
            self._others.pop(number, None)
            return math.inf
        other = self._others.get(number)
        if other is None or other.offset != offset:
            other = self._others[number] = _Other(offset, now)
        elif now - other.since_s > _PATIENCE_S and not other.is_given_up:
            other.is_given_up = True
            text = "%s/%d: nobody has read it for %.0f s; it is waited for no longer"
            logger.warning(text, self._topic, number, _PATIENCE_S)
        return math.inf if other.is_given_up else records[0].append_time_s
