"""The travel times of one camera pair over a sliding window (equation 4).

Law: after ``update(t)`` and ``revert(t)`` the distribution is what it was before, to the bit, in
whatever order the two are mixed with others.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from stgal_stream.types import Floats


@dataclass(slots=True)
class TravelTimeDistribution:
    """The empirical distribution of one camera pair's travel times, in seconds, ascending.

    ``probability(t)`` is the share of the travel times seen that lie within epsilon of t
    (equation 4). The paper's epsilon is a constant of 10 s; with ``relative`` > 0 it grows with t,
    since people's paces differ by a factor and not by a number of seconds.

    Raises:
        ValueError: ``epsilon_s`` is not positive or ``relative`` is negative.

    >>> seen = TravelTimeDistribution(epsilon_s=10)
    >>> for t in (30, 35, 50, 300):
    ...     seen.update(t)
    >>> float(seen.probability(40))
    0.75
    >>> seen.revert(300)
    >>> float(seen.probability(40))
    1.0
    """

    epsilon_s: float = 10.0
    relative: float = 0.0
    times_s: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.epsilon_s <= 0 or self.relative < 0:
            raise ValueError("epsilon_s must be positive and relative not negative")

    @classmethod
    def of(
        cls, times_s: ArrayLike, epsilon_s: float = 10.0, relative: float = 0.0
    ) -> TravelTimeDistribution:
        """A distribution of many travel times at once."""
        return cls(epsilon_s, relative, np.sort(np.asarray(times_s, dtype=np.float64)).tolist())

    @property
    def n(self) -> int:
        """How many travel times are in the window."""
        return len(self.times_s)

    def update(self, time_s: float) -> None:
        """Adds one travel time.

        Raises:
            ValueError: it is negative or not finite.
        """
        if not 0 <= time_s < float("inf"):
            raise ValueError(f"a travel time is finite and not negative, not {time_s}")
        insort(self.times_s, float(time_s))

    def revert(self, time_s: float) -> None:
        """Takes one travel time out again.

        Raises:
            ValueError: it was never added.
        """
        at = bisect_left(self.times_s, time_s)
        if at == len(self.times_s) or self.times_s[at] != time_s:
            raise ValueError(f"{time_s} s is not in the window")
        del self.times_s[at]

    def half_width(self, times_s: ArrayLike) -> Floats:
        """Epsilon at each travel time, in seconds."""
        return self.epsilon_s + self.relative * np.asarray(times_s, dtype=np.float64)

    def probability(self, times_s: ArrayLike) -> Floats:
        """P_t (equation 4) of each travel time; 0 where nothing was seen."""
        times = np.asarray(times_s, dtype=np.float64)
        if not self.times_s:
            return np.zeros_like(times)
        seen = np.array(self.times_s)
        reach = self.half_width(times)
        first = np.searchsorted(seen, times - reach, side="left")
        last = np.searchsorted(seen, times + reach, side="right")
        return (last - first) / len(seen)

    def quantile(self, share: float) -> float | None:
        """The travel time in seconds below which ``share`` of those seen lie; None if none was."""
        return float(np.quantile(self.times_s, share)) if self.times_s else None
