"""Average linkage: the evidence that a tracklet, or an identity, is of one person with each
identity.

Law: appearance counts as the mean over all pairs of two groups, so that one lucky pair cannot glue
two people. Time counts once, through the two tracklets that are nearest in time: where somebody was
before adds nothing about the way in between.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stgal_stream.core.calibration.model import Scores
from stgal_stream.types import Floats, Integers


@dataclass(slots=True)
class Linkage:
    """By slot (S,), or between slots (S, S): how many pairs are known, the sum of their log odds by
    appearance, the least time between two tracklets (s) and the log time ratio there."""

    n: Floats
    appearance: Floats
    nearest_s: Floats
    time: Floats

    @classmethod
    def of(cls, scores: Scores, slots: Integers, n_slots: int) -> Linkage:
        """That of one tracklet's scores (N,) against tracklets in these slots (N,). Those without a
        slot (negative), or of which nothing is known, are left out."""
        known = np.flatnonzero(np.isfinite(scores.log_odds) & (slots >= 0))
        at, times_s = slots[known], scores.times_s[known]
        nearest_s = np.full(n_slots, np.inf)
        np.minimum.at(nearest_s, at, times_s)
        time = np.zeros(n_slots)
        closest = np.flatnonzero(times_s == nearest_s[at])
        time[at[closest]] = scores.log_time[known[closest]]
        n = np.bincount(at, minlength=n_slots).astype(np.float64)
        appearance = np.bincount(at, scores.log_appearance[known], minlength=n_slots)
        return cls(n, np.asarray(appearance, dtype=np.float64), nearest_s, time)

    def add(self, other: Linkage) -> None:
        """Adds that of another tracklet of the same identity."""
        self.n += other.n
        self.appearance += other.appearance
        nearer = other.nearest_s < self.nearest_s
        self.nearest_s[nearer] = other.nearest_s[nearer]
        self.time[nearer] = other.time[nearer]

    @classmethod
    def between(cls, rows: list[Linkage], slots: Integers) -> Linkage:
        """(S, S) between identities, from the linkage of each (its row) and their slots (S,)."""
        return cls(
            np.stack([row.n[slots] for row in rows]),
            np.stack([row.appearance[slots] for row in rows]),
            np.stack([row.nearest_s[slots] for row in rows]),
            np.stack([row.time[slots] for row in rows]),
        )

    def row(self, i: int) -> Linkage:
        """(S,) one identity's, of an (S, S) linkage."""
        return Linkage(self.n[i], self.appearance[i], self.nearest_s[i], self.time[i])

    def merge(self, into: int, gone: int) -> None:
        """One of the identities of an (S, S) linkage was merged into another: what was known of it
        is known of that."""
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
