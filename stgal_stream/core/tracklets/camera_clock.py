"""One camera's clock, as the site hears it."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field

_N_STAMPS = 5  # newest records whose median is how far a camera has come: two strays do not move it
_MANY_ALONE = 20  # records of one camera and of no other: it is the only one that speaks
_N_LEADS = 8  # as many as it takes to hold a steady lead to be the clock's
_LEAD_EVERY_S = 10.0  # of its stamps: eight leads span more than a minute
LEAST_OFF_S = 10.0  # a smaller error changes nothing that waiting for the late does not mend
# Leads that differ by more are traffic, or an outage's records that are sent on: no clock's error.
_STEADY_S, _STEADY_SHARE = 8.0, 0.05


@dataclass(slots=True)
class CameraClock:
    """The newest stamps of one camera as they came, and what its clock shows more than the site's.

    ``offset_s`` is that difference as far as it is known; ``is_guess`` while it rests on one
    record. ``leads`` are (stamp, stamp minus offset minus site time), in seconds, taken when the
    camera speaks after another one; ``lead_s`` is the lead that it has as a rule, ``lead_range_s``
    the least and the largest but one, since one stray is no clock; 0 before it has spoken after
    another. ``turn`` is when it did so last, ``turn_lead_s`` the lead then, ``n_alone`` the records
    since, and ``leapt_s`` the leaps in them that are not believed yet.
    """

    offset_s: float = 0.0
    is_guess: bool = False
    turn: int = 0
    turn_lead_s: float = 0.0
    n_alone: int = 0
    leapt_s: float = 0.0
    stamps: list[float] = field(default_factory=list)
    leads: list[tuple[float, float]] = field(default_factory=list)
    lead_s: float = 0.0
    lead_range_s: tuple[float, float] = (0.0, 0.0)

    @property
    def front_s(self) -> float:
        """How far the camera has come, in site time."""
        return sorted(self.stamps)[(len(self.stamps) - 1) // 2] - self.offset_s

    @property
    def counts(self) -> bool:
        """Whether its word moves the site: not while it may be sending what an outage kept."""
        return bool(self.stamps) and (not self.is_guess or len(self.leads) == _N_LEADS)

    @property
    def latest_s(self) -> float:
        """The newest stamp, in site time."""
        return self.stamps[-1] - self.offset_s

    @property
    def unproven_s(self) -> float:
        """What of its progress is not time that has passed, as far as the camera alone can vouch
        for it: it may have been ahead of the others before. A leap counts where nobody else speaks
        for long."""
        return max(0.0, self.turn_lead_s, *(lead_s for _, lead_s in self.leads)) + self.leapt_s

    def hear(self, stamp_s: float) -> None:
        """Takes note of a record's stamp."""
        before_s = self.front_s if self.stamps else math.inf
        self.stamps = [*self.stamps, stamp_s][-_N_STAMPS:]
        self.n_alone += 1
        if self.n_alone >= _MANY_ALONE:
            self.leapt_s = 0.0
        elif self.front_s - before_s > LEAST_OFF_S:
            self.leapt_s += self.front_s - before_s

    def begin_turn(self, turn: int, stamp_s: float, site_s: float) -> None:
        """The camera speaks after another one."""
        self.turn, self.turn_lead_s = turn, stamp_s - self.offset_s - site_s
        self.n_alone, self.leapt_s = 0, 0.0
        if not self.leads or abs(stamp_s - self.leads[-1][0]) >= _LEAD_EVERY_S:
            self._follow([*self.leads, (stamp_s, self.turn_lead_s)][-_N_LEADS:])

    @property
    def is_steady(self) -> bool:
        """Whether its lead is always the same, give or take what traffic makes of it."""
        least_s, most_s = self.lead_range_s
        is_known = len(self.leads) == _N_LEADS
        return is_known and most_s - least_s <= max(_STEADY_S, _STEADY_SHARE * abs(self.lead_s))

    def shift(self, by_s: float, *, is_guess: bool = False) -> float:
        """Its clock shows so much more than was held; ``by_s``."""
        self.offset_s += by_s
        self.is_guess = is_guess
        self.turn_lead_s, self.leapt_s = 0.0, 0.0
        self._follow([])
        return by_s

    def _follow(self, leads: list[tuple[float, float]]) -> None:
        # Every record asks for the leads of all cameras, so they are not sorted each time.
        self.leads = leads
        ordered = sorted(lead_s for _, lead_s in leads)
        inner = ordered[1:-1] or ordered or [0.0]
        self.lead_s = statistics.median(ordered or [0.0])
        self.lead_range_s = inner[0], inner[-1]
