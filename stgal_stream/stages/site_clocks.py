"""How far each site's event time is, so that it goes on while the site is silent."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(slots=True)
class _Clock:
    """A site's event time, and when (by this machine's clock) it was heard and told."""

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

    def due(self, heard: Iterable[str]) -> list[tuple[str, float]]:
        """Sites that are to be ticked, and their event time now; not those in ``heard``, from which
        something is under way."""
        waited_for = set(heard)
        now = time.monotonic()
        found = []
        for site, clock in list(self._clocks.items()):
            silent_s = now - clock.heard_s
            if silent_s > self._forget_s:
                del self._clocks[site]
            elif site not in waited_for and now - clock.ticked_s >= self._after_s:
                clock.ticked_s = now
                found.append((site, clock.time_s + silent_s))
        return found
