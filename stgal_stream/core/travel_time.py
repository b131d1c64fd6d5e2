"""Travel times between the two cameras of a pair, over a sliding window (equation 4).

The law: after ``update(t)`` and ``revert(t)`` the distribution is what it was before, to the bit,
in whatever order the two are mixed with others.
"""

from __future__ import annotations

from bisect import bisect_left, insort

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stgal_stream.types import Tracklet


class TravelTimeDistribution:
    """The empirical distribution of one camera pair's travel times, in seconds.

    ``probability(t)`` is the share of the travel times seen that lie within epsilon of t
    (equation 4). The paper's epsilon is a constant of 10 s; with ``relative`` > 0 it grows with t,
    since people's paces differ by a factor and not by a number of seconds.

    >>> seen = TravelTimeDistribution(epsilon_s=10)
    >>> for t in (30, 35, 50, 300):
    ...     seen.update(t)
    >>> float(seen.probability(40))
    0.75
    >>> seen.revert(300)
    >>> float(seen.probability(40))
    1.0
    """

    def __init__(self, epsilon_s: float = 10.0, relative: float = 0.0) -> None:
        if epsilon_s <= 0 or relative < 0:
            raise ValueError("epsilon_s must be positive and relative not negative")
        self.epsilon_s = epsilon_s
        self.relative = relative
        self._times: list[float] = []

    @classmethod
    def of(
        cls, times_s: ArrayLike, epsilon_s: float = 10.0, relative: float = 0.0
    ) -> TravelTimeDistribution:
        """A distribution of many travel times at once."""
        made = cls(epsilon_s, relative)
        made._times = np.sort(np.asarray(times_s, dtype=np.float64)).tolist()
        return made

    @property
    def n(self) -> int:
        """How many travel times are in the window."""
        return len(self._times)

    @property
    def times_s(self) -> tuple[float, ...]:
        """The travel times in the window, ascending."""
        return tuple(self._times)

    def update(self, time_s: float) -> None:
        """Adds one travel time.

        Raises:
            ValueError: it is negative or not finite.
        """
        if not 0 <= time_s < float("inf"):
            raise ValueError(f"a travel time is finite and not negative, not {time_s}")
        insort(self._times, float(time_s))

    def revert(self, time_s: float) -> None:
        """Takes one travel time out again.

        Raises:
            ValueError: it was never added.
        """
        at = bisect_left(self._times, time_s)
        if at == len(self._times) or self._times[at] != time_s:
            raise ValueError(f"{time_s} s is not in the window")
        del self._times[at]

    def half_width(self, times_s: ArrayLike) -> NDArray[np.float64]:
        """Epsilon at each travel time, in seconds."""
        return self.epsilon_s + self.relative * np.asarray(times_s, dtype=np.float64)

    def probability(self, times_s: ArrayLike) -> NDArray[np.float64]:
        """P_t (equation 4) of each travel time; 0 where nothing was seen."""
        times = np.asarray(times_s, dtype=np.float64)
        if not self._times:
            return np.zeros_like(times)
        seen = np.array(self._times)
        reach = self.half_width(times)
        first = np.searchsorted(seen, times - reach, side="left")
        last = np.searchsorted(seen, times + reach, side="right")
        return (last - first) / len(seen)

    def quantile(self, share: float) -> float | None:
        """The travel time in seconds below which ``share`` of those seen lie; None if none was."""
        return float(np.quantile(self._times, share)) if self._times else None


def travel_time_s(first: Tracklet, second: Tracklet) -> float:
    """Seconds from the end of the earlier tracklet to the start of the later one; 0 if both were
    in view at one time. Across cameras a part of a longer track starts where the track does, so
    that who is in view of two cameras at once has no way to a track that had begun before the part
    ended."""
    if first.camera == second.camera:
        return max(0.0, second.start_s - first.end_s, first.start_s - second.end_s)
    return max(0.0, second.since_s - first.end_s, first.since_s - second.end_s)


def travel_times_s(
    starts: NDArray[np.float64],
    ends: NDArray[np.float64],
    other_starts: NDArray[np.float64],
    other_ends: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Seconds from the end of the earlier to the start of the later, 0 where both were at one
    time, of every (query, gallery) combination, (Q, G)."""
    return gaps_s(starts[:, None], ends[:, None], other_starts[None, :], other_ends[None, :])


def gaps_s(
    starts: NDArray[np.float64],
    ends: NDArray[np.float64],
    other_starts: NDArray[np.float64],
    other_ends: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The same pair by pair, of arrays that broadcast."""
    times: NDArray[np.float64] = np.maximum(other_starts - ends, starts - other_ends)
    return np.maximum(times, 0.0)
