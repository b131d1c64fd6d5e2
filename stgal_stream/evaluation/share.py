"""A share of pairs that people judged, with its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

_Z = 1.959964  # of the normal distribution: 95 % lie within


@dataclass(frozen=True, slots=True)
class Share:
    """Of ``n`` pairs that a person could tell, ``right`` were right; ``low`` and ``high`` are
    Wilson's 95 % interval of the share."""

    right: int
    n: int
    low: float
    high: float

    @classmethod
    def of(cls, right: int, n: int, independent: float | None = None) -> Share:
        """From how many were right. ``independent`` is how many judgements the ``n`` are worth,
        where several were made at once. Without any, the share may be anything."""
        if not n:
            return cls(0, 0, 0.0, 1.0)
        share = right / n
        worth = n if independent is None else independent
        centre = share + _Z**2 / (2 * worth)
        wide = _Z * math.sqrt(share * (1 - share) / worth + _Z**2 / (4 * worth * worth))
        scale = 1 + _Z**2 / worth
        low, high = (centre - wide) / scale, (centre + wide) / scale
        return cls(right, n, min(share, max(0.0, low)), max(share, min(1.0, high)))

    @property
    def share(self) -> float | None:
        """The share; None where nothing could be told."""
        return self.right / self.n if self.n else None
