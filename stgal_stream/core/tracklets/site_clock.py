"""Event time of a site, told by camera clocks of which any one may be wrong.

Laws. No camera alone moves the site's time by more than time has passed. It never goes back. Only
differences count: a camera whose clock is off by a constant is set right by that constant, so where
all clocks are off together, none is.

A camera is as far as the lower median of its newest stamps. The site is as far as the second of its
cameras, and a leap needs more than half of those that speak. A camera that speaks alone moves it by
its own progress. Where all cameras that speak are far behind the site, all clocks were set back.
"""

from __future__ import annotations

import heapq
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from stgal_stream.core.tracklets.camera_clock import LEAST_OFF_S, CameraClock

_LEAP_S = 60.0  # further than the second camera's word is trusted, forwards or back
_NEW_OFF_S = 120.0  # a new camera so far behind has another clock, not a long way for its records
_TURNS_PER_CAMERA = 8  # a camera that is silent for so many turns of each is not asked
_TICKER = ""  # no camera's name can be empty


@dataclass(frozen=True, slots=True)
class SiteClockState:
    """All that a ``SiteClock`` knows."""

    time_s: float
    turn: int
    speaker: str | None
    cameras: dict[str, CameraClock]
    ahead: dict[str, float]


class SiteClock:
    """The site's event time, ``time_s`` (s), and how far each camera's clock is off."""

    def __init__(self, state: SiteClockState | None = None) -> None:
        self.time_s = state.time_s if state else -math.inf
        self._turn = state.turn if state else 0
        self._speaker = state.speaker if state else None
        self._cameras = dict(state.cameras) if state else {}
        # Cameras that are further than the site.
        self._ahead = dict(state.ahead) if state else {}

    @property
    def odd_s(self) -> Mapping[str, float]:
        """The cameras whose clocks are off, and how many seconds more they show than most."""
        found = {c: k.offset_s for c, k in self._cameras.items() if c != _TICKER}
        ordered = sorted(found.values())  # of two in the middle, the one that the site goes by
        middle = min(ordered[(len(ordered) - 1) // 2 : len(ordered) // 2 + 1], key=abs, default=0.0)
        off = {camera: offset_s - middle for camera, offset_s in sorted(found.items())}
        return {camera: off_s for camera, off_s in off.items() if abs(off_s) >= LEAST_OFF_S}

    def has_room(self, camera: str, most: int) -> bool:
        """Whether a camera is one of the ``most`` that it listens to."""
        return camera in self._cameras or len(self._cameras.keys() - {_TICKER}) < most

    def in_site_time(self, camera: str, stamp_s: float) -> float:
        """A camera's stamp as the site's clock shows it."""
        clock = self._cameras.get(camera)
        return stamp_s if clock is None else stamp_s - clock.offset_s

    def observe(self, camera: str, stamp_s: float) -> float:
        """Takes note of a camera's record; by how much (s) the camera's own clock is now held to
        show more than before."""
        clock = self._cameras.setdefault(camera, CameraClock())
        shifted_s = 0.0
        if camera != self._speaker:
            shifted_s = self._begin_turn(camera, clock, stamp_s)
        clock.hear(stamp_s)
        shifted_s += self._advance(camera, clock)
        return shifted_s

    def tick(self, time_s: float, most_s: float = math.inf) -> None:
        """Time has gone on to ``time_s`` without a record, by the clock of those who read them.

        Theirs may be a site clock too. Where they began later, or another of them goes on, it may
        be far behind this one, or further ahead than the ``most_s`` that a tick can bring: then it
        is set right, and only what it shows from then on counts.
        """
        clock = self._cameras.setdefault(_TICKER, CameraClock())
        lead_s = time_s - clock.offset_s - self.time_s
        if math.isfinite(lead_s) and not -_NEW_OFF_S <= lead_s <= most_s:
            clock.shift(lead_s)
        self.go_on(time_s - clock.offset_s)

    def go_on(self, to_s: float) -> None:
        """The site's time has come to ``to_s``, if it was not there before."""
        if to_s > self.time_s:
            self.time_s = to_s
            self._ahead = {c: front_s for c, front_s in self._ahead.items() if front_s > to_s}

    def forget(self, before_s: float) -> None:
        """Forgets cameras that were nowhere near an event time."""
        for camera, clock in list(self._cameras.items()):
            if camera != _TICKER and (not clock.stamps or clock.latest_s < before_s):
                del self._cameras[camera]
                if camera == self._speaker:
                    self._speaker = None  # it has to be heard as a new one

    def state(self) -> SiteClockState:
        """Everything known, to go on from."""
        cameras, ahead = dict(self._cameras), dict(self._ahead)
        return SiteClockState(self.time_s, self._turn, self._speaker, cameras, ahead)

    def _begin_turn(self, camera: str, clock: CameraClock, stamp_s: float) -> float:
        self._turn += 1
        self._speaker = camera
        if math.isinf(self.time_s):
            clock.turn = self._turn
            return 0.0
        is_new = not clock.stamps
        clock.begin_turn(self._turn, stamp_s, self.time_s)
        if is_new and clock.turn_lead_s < -_NEW_OFF_S:
            return clock.shift(clock.turn_lead_s, is_guess=True)
        off_s = self._off_s(clock, least_s=0.0 if clock.is_guess else LEAST_OFF_S)
        return clock.shift(off_s) if off_s else 0.0

    def _off_s(self, clock: CameraClock, least_s: float) -> float:
        """By how much a camera's clock is off, 0 where nothing speaks for it.

        Who is always behind is off. Who always leads is so only where no other camera leads as far:
        where little happens the site's time stands still until somebody speaks.
        """
        least_lead_s, most_lead_s = clock.lead_range_s
        may_be_off = most_lead_s < 0 or (least_lead_s > 0 and clock.lead_s >= least_s)
        if not clock.is_steady or (least_s and not may_be_off):
            return 0.0
        others = [k for k in self._speaking() if k is not clock and k.leads]
        if not others:
            return 0.0
        off_s = clock.lead_s - max(0.0, statistics.median(k.lead_s for k in others))
        if abs(off_s) < least_s:
            return 0.0
        least, most = (statistics.median(k.lead_range_s[i] for k in others) for i in (0, 1))
        is_apart = least_lead_s > max(0.0, most) if off_s > 0 else most_lead_s < 0
        return off_s if (is_apart and abs(off_s) >= most - least) or not least_s else 0.0

    def _advance(self, camera: str, clock: CameraClock) -> float:
        """Moves the site's time by what one camera has just shown."""
        front_s, latest_s = clock.front_s, clock.latest_s
        if latest_s <= self.time_s + LEAST_OFF_S:  # nothing unlikely: no need of a median
            front_s = max(front_s, latest_s)
        if math.isinf(self.time_s):
            self.go_on(front_s)
        if front_s <= self.time_s:
            self._ahead.pop(camera, None)
            return self._set_back(clock) if latest_s < self.time_s - _LEAP_S else 0.0
        if not clock.counts:
            return 0.0
        self._ahead[camera] = front_s
        second_s = heapq.nlargest(2, self._ahead.values())[1] if len(self._ahead) > 1 else -math.inf
        if second_s > self.time_s + _LEAP_S:
            second_s = self._most_are_past_s()
        self.go_on(max(second_s, front_s - clock.unproven_s))
        return 0.0

    def _speaking(self) -> list[CameraClock]:
        """The cameras that were heard of lately."""
        since = self._turn - _TURNS_PER_CAMERA * len(self._cameras)
        return [k for k in self._cameras.values() if k.stamps and k.turn >= since]

    def _most_are_past_s(self) -> float:
        """The time that more than half of the cameras that speak have come to."""
        latest = sorted((clock.latest_s for clock in self._speaking()), reverse=True)
        return latest[len(latest) // 2]

    def _set_back(self, clock: CameraClock) -> float:
        """A camera is far behind the site. Where all that speak are, all clocks were set back; by
        how much (s) that camera's was set forward."""
        furthest_s = max(other.latest_s for other in self._speaking())
        if furthest_s >= self.time_s - _LEAP_S:
            return 0.0
        back_s = furthest_s - self.time_s
        for camera, other in self._cameras.items():
            if camera == _TICKER:  # those who read have set all cameras right too
                continue
            other.shift(back_s)
            if other.stamps and other.front_s > self.time_s:
                other.stamps = other.stamps[-1:] if other.latest_s <= self.time_s else []
        self._ahead = {}
        return back_s
