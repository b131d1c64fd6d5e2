"""What calibrations were an hour, a day ago: for operators, who ask what has drifted.

Law: at most one entry an hour of event time and no more than a day of them, whatever comes in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stgal_stream.core.calibration.travel_time_distribution import TravelTimeDistribution
from stgal_stream.types import CameraPair

_EVERY_S = 3600.0
_KEEP_S = 25 * 3600.0  # a day, and the entry before it
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class PastCalibration:
    """One entry: when (event time), alpha, expected precision, and by camera pair the median travel
    time in seconds of the accepted pairs."""

    at_s: float
    alpha: float
    expected_precision: float
    medians_s: dict[CameraPair, float]


@dataclass(slots=True)
class CalibrationHistory:
    """Entries, oldest first."""

    entries: list[PastCalibration] = field(default_factory=list)

    def note(
        self,
        at_s: float,
        alpha: float,
        expected_precision: float,
        travel_times: Mapping[CameraPair, TravelTimeDistribution],
    ) -> None:
        """Keeps an entry if the last one is an hour old."""
        if self.entries and at_s - self.entries[-1].at_s < _EVERY_S:
            return
        medians = {
            pair: median
            for pair, seen in sorted(travel_times.items())
            if (median := seen.quantile(0.5)) is not None
        }
        entry = PastCalibration(at_s, alpha, expected_precision, medians)
        self.entries = [e for e in self.entries if at_s - e.at_s <= _KEEP_S] + [entry]

    def a_day_before(self, at_s: float) -> PastCalibration | None:
        """The entry closest to a day before; None where there is none older than an hour."""
        old = [e for e in self.entries if at_s - e.at_s >= _EVERY_S]
        return min(old, key=lambda e: abs(at_s - e.at_s - _DAY_S), default=None)
