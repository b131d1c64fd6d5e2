"""The pairs that best-buddies search accepts now, and their travel times.

Law: the distributions hold the travel times of exactly the accepted pairs whose two tracklets are
in the window (``update`` when a pair is accepted, ``revert`` when it is withdrawn or expires).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from stgal_stream.core.calibration.travel_time_distribution import TravelTimeDistribution
from stgal_stream.core.gallery.gallery import Gallery
from stgal_stream.core.gallery.known_negatives import are_known_negatives
from stgal_stream.core.measures.travel_time import travel_time_s
from stgal_stream.types import CameraPair, Pair, Tracklet, camera_pair


class AcceptedPairs:
    """Accepted pairs by tracklet number, with a sliding distribution for each camera pair."""

    def __init__(self) -> None:
        self._accepted: dict[Pair, tuple[CameraPair, float, float]] = {}
        self._of: dict[int, set[Pair]] = {}
        self.travel_times: dict[CameraPair, TravelTimeDistribution] = {}

    def __len__(self) -> int:
        return len(self._accepted)

    def partners(self, number: int) -> list[int]:
        """The tracklets in an accepted pair with this one."""
        return sorted(i + j - number for i, j in self._of.get(number, ()))

    @property
    def n_tracklets(self) -> int:
        """How many tracklets are in at least one accepted pair."""
        return len(self._of)

    @property
    def pairs(self) -> set[Pair]:
        """The accepted pairs in the window."""
        return set(self._accepted)

    @property
    def expected_precision(self) -> float:
        """The mean posterior probability of the pairs: the share that is right, as far as can be
        said without labels. 0 where there is no pair."""
        if not self._accepted:
            return 0.0
        return math.fsum(posterior for _, _, posterior in self._accepted.values()) / len(self)

    def posterior(self, pair: Pair) -> float:
        """A pair's probability of being one person, under the calibration in force."""
        return self._accepted[pair][2]

    def reassess(self, posteriors: Mapping[Pair, float]) -> None:
        """Replaces every pair's posterior by that under another calibration."""
        for pair, (cameras, time_s, _) in self._accepted.items():
            self._accepted[pair] = (cameras, time_s, posteriors[pair])

    def conflicts(self, pair: Pair, gallery: Gallery) -> bool:
        """Whether a member's partner and its partner's other one were in one camera at one time: of
        the two pairs one is false."""
        return any(
            are_known_negatives(gallery[mine], gallery[other])
            for mine, partner in (pair, pair[::-1])
            for other in self.partners(partner)
            if other != mine
        )

    def accept(self, first: Tracklet, second: Tracklet, posterior: float) -> None:
        """Counts a pair's travel time, and its posterior probability of being one person."""
        cameras = camera_pair(first.camera, second.camera)
        time_s = travel_time_s(first, second)
        pair = (min(first.number, second.number), max(first.number, second.number))
        self._accepted[pair] = (cameras, time_s, posterior)
        for number in pair:
            self._of.setdefault(number, set()).add(pair)
        self.travel_times.setdefault(cameras, TravelTimeDistribution()).update(time_s)

    def withdraw(self, pair: Pair) -> None:
        """Takes a pair out again."""
        cameras, time_s, _ = self._accepted.pop(pair)
        for number in pair:
            mine = self._of.get(number)
            if mine is not None:
                mine.discard(pair)
                if not mine:
                    del self._of[number]
        self.travel_times[cameras].revert(time_s)
        if not self.travel_times[cameras].n:
            del self.travel_times[cameras]

    def expire(self, number: int) -> None:
        """Forgets all pairs of a tracklet that left the window."""
        for pair in sorted(self._of.pop(number, ())):
            self.withdraw(pair)
