"""What speaks for a tracklet, or an identity, being of one person with each identity.

The law. Appearance speaks through the mean over all pairs of two groups, so that one lucky pair
cannot glue two people; time speaks once, through the two tracklets that are nearest in time: where
somebody was before that says nothing more about the way in between.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stgal_stream.core.calibration import Scores

Floats = NDArray[np.float64]


@dataclass(slots=True)
class Tally:
    """By label (L,), or between labels (L, L): how many pairs are known, the sum of their log odds
    by appearance, the least time between two tracklets (s) and the log time ratio there."""

    n: Floats
    appearance: Floats
    nearest_s: Floats
    time: Floats

    @classmethod
    def of(cls, scores: Scores, labels: NDArray[np.int64], room: int) -> Tally:
        """The tally of one tracklet's scores (N,) against tracklets of these labels (N,); those
        without a label (-1), or of which nothing is known, are left out."""
        known = np.flatnonzero(np.isfinite(scores.log_odds) & (labels >= 0))
        at, times_s = labels[known], scores.times_s[known]
        nearest_s = np.full(room, np.inf)
        np.minimum.at(nearest_s, at, times_s)
        time = np.zeros(room)
        closest = np.flatnonzero(times_s == nearest_s[at])
        time[at[closest]] = scores.log_time[known[closest]]
        n = np.bincount(at, minlength=room).astype(np.float64)
        appearance = np.bincount(at, scores.log_appearance[known], minlength=room)
        return cls(n, np.asarray(appearance, dtype=np.float64), nearest_s, time)

    def add(self, other: Tally) -> None:
        """Takes in the tally of another tracklet of the same identity."""
        self.n += other.n
        self.appearance += other.appearance
        nearer = other.nearest_s < self.nearest_s
        self.nearest_s[nearer] = other.nearest_s[nearer]
        self.time[nearer] = other.time[nearer]

    @classmethod
    def between(cls, tallies: list[Tally], labels: NDArray[np.int64]) -> Tally:
        """(L, L) tallies between identities, from those of each."""
        return cls(
            np.stack([t.n[labels] for t in tallies]),
            np.stack([t.appearance[labels] for t in tallies]),
            np.stack([t.nearest_s[labels] for t in tallies]),
            np.stack([t.time[labels] for t in tallies]),
        )

    def row(self, i: int) -> Tally:
        """(L,) one identity's, of an (L, L) tally."""
        return Tally(self.n[i], self.appearance[i], self.nearest_s[i], self.time[i])

    def merge(self, into: int, gone: int) -> None:
        """One of the identities of an (L, L) tally was merged into another: what was said of it is
        said of that."""
        every = slice(None)
        for kept, other in ((into, gone), ((every, into), (every, gone))):
            self.n[kept] += self.n[other]
            self.appearance[kept] += self.appearance[other]
            nearer = self.nearest_s[other] < self.nearest_s[kept]
            self.nearest_s[kept] = np.where(nearer, self.nearest_s[other], self.nearest_s[kept])
            self.time[kept] = np.where(nearer, self.time[other], self.time[kept])

    @property
    def log_odds(self) -> Floats:
        """Log odds of one person, shaped as the rest; minus infinity where nothing is known."""
        mean = self.appearance / np.maximum(self.n, 1.0)
        return np.where(self.n > 0, mean + self.time, -np.inf)
