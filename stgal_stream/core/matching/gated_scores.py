"""Scores of one tracklet, of those pairs alone that can matter: exact gating by distance.

Law: what is gated out could be no pseudo-pair and could give no identity the odds that it needs,
whatever its travel time. So every answer is that of the whole window's scores; but for distances,
its cost follows the tracklets that look alike and not the window.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stgal_stream.core.calibration.model import Scores
from stgal_stream.types import Integers, Mask


@dataclass(frozen=True, slots=True)
class GatedScores:
    """Scores of one tracklet against the first ``n`` rows of the window: ``scores`` (M,) are those
    of the ``rows`` (M,) that can matter, and ``score_others`` gives those of any rows; it is None
    where nothing was gated out. ``most_by_time`` is the most that a travel time adds to log odds
    anywhere."""

    n: int
    rows: Integers
    scores: Scores
    most_by_time: float
    score_others: Callable[[Integers], Scores] | None = None

    @classmethod
    def whole(cls, scores: Scores) -> GatedScores:
        """Of scores (N,) that are all known."""
        n = len(scores.times_s)
        return cls(n, np.arange(n), scores, float(scores.log_time.max(initial=0.0)))

    def at(self, rows: Integers) -> Scores:
        """Scores (K,) of any rows (K,)."""
        if self.score_others is None:
            return self.scores[rows]
        at = self.rows.searchsorted(rows)
        if len(self.rows) and (self.rows.take(at, mode="clip") == rows).all():
            return self.scores[at]
        return self.score_others(rows)

    def alike(self, least_log_odds: float) -> Integers:
        """Rows (K,) that are alike enough for such log odds, at the best travel time."""
        least = least_log_odds - self.most_by_time
        return self.rows[self.scores.log_appearance > least]

    def best(self, is_asked: Mask) -> tuple[int, float] | None:
        """The row of the most probable pseudo-pair, the first of equals, of those of the ``rows``
        that are asked for (M,), and its P_a; None where there is none."""
        p = np.where(is_asked, self.scores.p_candidate, 0.0)
        k = int(np.argmax(p)) if len(p) else 0
        return (int(self.rows[k]), float(p[k])) if len(p) and p[k] > 0 else None
