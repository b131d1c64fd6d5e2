"""Event time: how far the stream has come, and what is too late for it."""

from __future__ import annotations


class Watermark:
    """The largest event time seen minus the allowed lateness, in seconds. It never goes back.

    Raises:
        ValueError: the allowed lateness is negative.
    """

    def __init__(self, allowed_lateness_s: float, value_s: float = float("-inf")) -> None:
        if allowed_lateness_s < 0:
            raise ValueError("the allowed lateness cannot be negative")
        self.allowed_lateness_s = allowed_lateness_s
        self.value_s = value_s

    def observe(self, time_s: float) -> float:
        """Takes note of an event time; the watermark after it."""
        self.value_s = max(self.value_s, time_s - self.allowed_lateness_s)
        return self.value_s

    def is_late(self, time_s: float) -> bool:
        """Whether the stream has already passed that event time."""
        return time_s < self.value_s
