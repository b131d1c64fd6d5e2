"""Event time goes on while a site is silent, and comes to an end with the stream: ticks."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from stgal_stream.core.tracklets.site_clock import SiteClock
from stgal_stream.log.port import Log, NewRecord, Record
from stgal_stream.log.reading import records, values
from stgal_stream.wire.embedding import EmbeddingRecord, TickRecord, decode, encode

_CHUNK = 500


@dataclass(slots=True)
class _Clock:
    """A site's clock, and when (by this machine's clock) it was heard and ticked."""

    site: SiteClock
    heard_s: float
    ticked_s: float


class SiteClocks:
    """A site is ticked after ``after_s`` seconds of silence, and forgotten after ``forget_s``, when
    nothing can wait for it any more."""

    def __init__(self, after_s: float, forget_s: float, max_cameras: int) -> None:
        self._after_s = after_s
        self._forget_s = forget_s
        self._max_cameras = max_cameras
        self._clocks: dict[str, _Clock] = {}

    def clear(self) -> None:
        """Forgets all sites."""
        self._clocks.clear()

    def hear(self, site: str, camera: str, stamp_s: float) -> None:
        """A detection of a camera was read, stamped so by it."""
        now = time.monotonic()
        clock = self._clocks.setdefault(site, _Clock(SiteClock(), now, now))
        clock.heard_s = clock.ticked_s = now
        if clock.site.has_room(camera, self._max_cameras):
            clock.site.observe(camera, stamp_s)

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
                found.append((site, clock.site.time_s + silent_s))
        return found


def tick_record(topic: str, site: str, time_s: float) -> NewRecord:
    """Event time of a site has come to ``time_s``."""
    return NewRecord(topic, site.encode(), encode(TickRecord(site, time_s)))


def last_embedded(log: Log, topic: str, n: int) -> list[EmbeddingRecord]:
    """The ``n`` newest embeddings of a topic of one partition, in order; ticks among them are
    passed over."""
    found: list[EmbeddingRecord] = []
    stop = log.end(topic, 0)
    while stop > 0 and len(found) < n:
        start = max(0, stop - _CHUNK)
        found = [*_embeddings(records(log, topic, 0, start, stop)), *found]
        stop = start
    return found[-n:]


def _embeddings(found: Iterable[Record]) -> Iterator[EmbeddingRecord]:
    for each in found:
        with suppress(msgspec.MsgspecError):
            record = decode(each.value)
            if isinstance(record, EmbeddingRecord):
                yield record


def closing_ticks(log: Log, topic: str) -> list[NewRecord]:
    """The stream is over: ticks that let everything out that waits for time.

    Whether a site has had its own stands in the embeddings topic itself, so this is the same after
    a restart.
    """
    open_sites: dict[str, float] = {}
    for value in values(log, topic):
        with suppress(msgspec.MsgspecError):  # the associate stage refuses it, aloud
            record = decode(value)
            if isinstance(record, EmbeddingRecord):
                open_sites[record.site] = record.time_s
            elif isinstance(record, TickRecord) and record.is_end:
                open_sites.pop(record.site, None)
    return [
        NewRecord(topic, site.encode(), encode(TickRecord(site, time_s, is_end=True)))
        for site, time_s in sorted(open_sites.items())
    ]
