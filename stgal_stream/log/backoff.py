"""How long to wait before what failed is tried again."""

from __future__ import annotations

_WAITS_S = (0.5, 1.0, 2.0, 5.0, 10.0)


def backoff_s(attempt: int) -> float:
    """Seconds before attempt ``attempt`` + 1, counted from 0: half a second, at last ten."""
    return _WAITS_S[min(attempt, len(_WAITS_S) - 1)]
