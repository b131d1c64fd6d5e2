"""Event time goes on while a site is silent, and comes to an end with the stream: ticks."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from stgal_stream.log.port import Log, NewRecord
from stgal_stream.log.reading import values
from stgal_stream.settings import Config
from stgal_stream.wire.embedding import EmbeddingRecord, TickRecord, decode, encode


@dataclass(slots=True)
class _Clock:
    """A site's event time, and when (by this machine's clock) it was heard and ticked."""

    time_s: float
    heard_s: float
    ticked_s: float


class SiteClocks:
    """A site is ticked after ``after_s`` seconds of silence, and forgotten after ``forget_s``, when
    nothing can wait for it any more."""

    def __init__(self, after_s: float, forget_s: float) -> None:
        self._after_s = after_s
        self._forget_s = forget_s
        self._clocks: dict[str, _Clock] = {}

    def clear(self) -> None:
        """Forgets all sites."""
        self._clocks.clear()

    def hear(self, site: str, time_s: float) -> None:
        """A detection at an event time was read."""
        now = time.monotonic()
        clock = self._clocks.get(site)
        if clock is None:
            self._clocks[site] = _Clock(time_s, now, now)
        else:
            clock.time_s = max(clock.time_s, time_s)
            clock.heard_s = clock.ticked_s = now

    @property
    def newest_s(self) -> dict[str, float]:
        """Each site's event time."""
        return {site: clock.time_s for site, clock in self._clocks.items()}

    def due(self, busy: Iterable[str]) -> list[tuple[str, float]]:
        """Sites that are to be ticked, and their event time now; not the ``busy`` ones, from which
        something is in work."""
        left_alone = set(busy)
        now = time.monotonic()
        found = []
        for site, clock in list(self._clocks.items()):
            silent_s = now - clock.heard_s
            if silent_s > self._forget_s:
                del self._clocks[site]
            elif site not in left_alone and now - clock.ticked_s >= self._after_s:
                clock.ticked_s = now
                found.append((site, clock.time_s + silent_s))
        return found


def tick_record(topic: str, site: str, time_s: float) -> NewRecord:
    """Event time of a site has come to ``time_s``."""
    return NewRecord(topic, site.encode(), encode(TickRecord(site, time_s)))


def closing_ticks(log: Log, config: Config) -> list[NewRecord]:
    """The stream is over: ticks that let everything out that waits for time.

    How far each site is stands in the embeddings topic itself (what retention has left of it, which
    is more than a window), so this is the same after a restart.
    """
    associate, topic = config.associate, config.topics.embeddings
    beyond_s = associate.allowed_lateness_s + associate.tracklet_max_s + 2 * associate.step_s
    seen: dict[str, float] = {}
    ticked: dict[str, float] = {}
    for value in values(log, topic):
        with suppress(msgspec.MsgspecError):  # the associate stage refuses it, aloud
            record = decode(value)
            if isinstance(record, EmbeddingRecord | TickRecord):
                times = ticked if isinstance(record, TickRecord) else seen
                times[record.site] = max(times.get(record.site, 0.0), record.time_s)
    ends = {site: time_s + beyond_s for site, time_s in sorted(seen.items())}
    return [
        tick_record(topic, site, end_s)
        for site, end_s in ends.items()
        if ticked.get(site, 0.0) < end_s
    ]
