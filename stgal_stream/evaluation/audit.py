"""The precision of accepted pairs by a person's eye, on a random sample."""

from __future__ import annotations

import math
from dataclasses import dataclass

_Z = 1.959964  # of the normal distribution: 95 % lie within


@dataclass(frozen=True, slots=True)
class AuditedPrecision:
    """Of ``n`` pairs that a person could tell, ``right`` were one person; ``low`` and ``high`` are
    Wilson's 95 % interval of the share."""

    right: int
    n: int
    low: float
    high: float

    @classmethod
    def of(cls, right: int, n: int) -> AuditedPrecision:
        """From how many were right. Without any, the share may be anything."""
        if not n:
            return cls(0, 0, 0.0, 1.0)
        share = right / n
        centre = share + _Z**2 / (2 * n)
        wide = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n * n))
        scale = 1 + _Z**2 / n
        low, high = (centre - wide) / scale, (centre + wide) / scale
        return cls(right, n, min(share, max(0.0, low)), max(share, min(1.0, high)))

    @property
    def share(self) -> float | None:
        """The precision; None where nothing could be told."""
        return self.right / self.n if self.n else None
