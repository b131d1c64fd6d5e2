"""Laws of delivery: when a camera's records reach the log, and what its clock shows.

A law takes detections in order of time, each with its true time, and gives them in the order in
which they arrive, each with the stamp that its camera writes. The odd camera is the second by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from stgal_stream.experiments.worlds.movement import Rng
from stgal_stream.types import Detection

_ONE_IN = 40


@dataclass(frozen=True, slots=True)
class Arrival:
    """A detection as its camera stamps it, and when (true time) it reaches the log."""

    at_s: float
    detection: Detection


@dataclass(frozen=True, slots=True)
class DeliveryLaw:
    """Of the odd camera: ``late_s`` is how long each record is on its way, ``offline_s`` how long
    every second such time nothing is sent, and then all of it at once, ``off_s`` how far the clock
    is ahead. Of all cameras: ``strays_s`` is how far one record in forty is ahead, and ``back_s``
    how far the clocks are set back in the middle."""

    name: str
    late_s: float = 0.0
    offline_s: float = 0.0
    off_s: float = 0.0
    strays_s: float = 0.0
    back_s: float = 0.0

    def arriving(self, rng: Rng, detections: Sequence[Detection]) -> list[Arrival]:
        """The detections as they reach the log."""
        odd = odd_camera(detections)
        middle_s = (detections[0].time_s + detections[-1].time_s) / 2
        found = []
        for detection in detections:
            arrives_s = stamp_s = detection.time_s
            if detection.camera == odd:
                arrives_s += self.late_s + self._waits_s(detection.time_s)
                stamp_s += self.off_s
            if rng.random() < 1 / _ONE_IN:
                stamp_s += self.strays_s
            if detection.time_s > middle_s:
                stamp_s -= self.back_s
            found.append(Arrival(arrives_s, replace(detection, time_s=stamp_s)))
        return sorted(found, key=lambda arrival: arrival.at_s)

    def _waits_s(self, time_s: float) -> float:
        """How long a record waits until its camera is online."""
        if not self.offline_s:
            return 0.0
        since_s = time_s % (2 * self.offline_s) - self.offline_s
        return self.offline_s - since_s if since_s > 0 else 0.0


def odd_camera(detections: Sequence[Detection]) -> str:
    """The camera to which something happens."""
    return sorted({detection.camera for detection in detections})[:2][-1]


IN_TIME = DeliveryLaw("in time")
LAWS = (
    DeliveryLaw("a minute late", late_s=60.0),
    DeliveryLaw("offline and forwarding", offline_s=600.0),
    DeliveryLaw("12 s ahead", off_s=12.0),
    DeliveryLaw("45 s ahead", off_s=45.0),
    DeliveryLaw("59 s ahead", off_s=59.0),
    DeliveryLaw("an hour ahead", off_s=3600.0),
    DeliveryLaw("30 s slow", off_s=-30.0),
    DeliveryLaw("an hour slow", off_s=-3600.0),
    DeliveryLaw("one in forty 59 s ahead", strays_s=59.0),
    DeliveryLaw("all set back an hour", back_s=3600.0),
)
