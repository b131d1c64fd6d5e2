"""Average linkage: the evidence that a tracklet, or an identity, is of one person with each
identity.

Law: appearance counts as the mean over all pairs of two groups, so that one lucky pair cannot glue
two people. Time counts once, through the two tracklets that are nearest in time: where somebody was
before adds nothing about the way in between.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from stgal_stream.core.calibration.model import Odds, Scores
from stgal_stream.types import Floats, Integers


@dataclass(slots=True)
class Linkage:
    """By slot (S,), of several (B, S), or between slots (S, S): how many pairs are known, the sum
    of their log odds by cameras and appearance, and by cameras alone, the least time between two
    tracklets (s) and the log time ratio there."""

    n: Floats
    appearance: Floats
    prior: Floats
    nearest_s: Floats
    time: Floats

    @classmethod
    def of(cls, scores: Odds | Scores, slots: Integers, n_slots: int) -> Linkage:
        """That of one tracklet's scores (N,), or of some tracklets' (B, N), against tracklets in
        these slots (N,): (S,) or (B, S). Those without a slot (negative), or of which nothing is
        known, are left out. Of any pairs (N,), with a cell for each two groups as its slot."""
        shape = (*scores.times_s.shape[:-1], n_slots)
        size = math.prod(shape)
        first = np.arange(0, size, max(1, n_slots))  # of each row
        at = (first[:, None] + slots).ravel()
        unknown = ~np.isfinite(scores.log_odds) | (slots < 0)
        at[unknown.ravel()] = size  # beside all that is returned
        times_s = scores.times_s.ravel()
        nearest_s = np.full(size + 1, np.inf)
        np.minimum.at(nearest_s, at, times_s)
        closest = np.flatnonzero(times_s == nearest_s[at])
        time = np.zeros(size + 1)
        time[at[closest]] = scores.log_time.ravel()[closest]
        n = np.bincount(at, minlength=size + 1).astype(np.float64)
        # Of nothing it is counted in whole numbers, whatever the weights.
        appearance = np.bincount(at, scores.log_appearance.ravel(), minlength=size + 1)
        prior = np.bincount(at, scores.log_prior.ravel(), minlength=size + 1)
        sums = (part.astype(np.float64) for part in (appearance, prior))
        parts = (n, *sums, nearest_s, time)
        return cls(*(part[:size].reshape(shape) for part in parts))

    def add(self, other: Linkage) -> None:
        """Adds that of another tracklet of the same identity."""
        self.n += other.n
        self.appearance += other.appearance
        self.prior += other.prior
        nearer = other.nearest_s < self.nearest_s
        self.nearest_s[nearer] = other.nearest_s[nearer]
        self.time[nearer] = other.time[nearer]

    def total(self) -> Linkage:
        """(S,) that of an identity, from its tracklets' (B, S)."""
        nearest, at = self.nearest_s.argmin(axis=0), np.arange(self.n.shape[1])
        return Linkage(
            self.n.sum(axis=0), self.appearance.sum(axis=0), self.prior.sum(axis=0),
            self.nearest_s[nearest, at], self.time[nearest, at],
        )  # fmt: skip

    def row(self, i: Integers) -> Linkage:
        """(M, S) that of some rows."""
        return Linkage(*(values[i] for values in self._parts))

    def square(self, start: int, n: int) -> Linkage:
        """(n, n) of (S,), from a slot on, in memory of its own."""
        part = slice(start, start + n * n)
        return Linkage(*(values[part].reshape(n, n).copy() for values in self._parts))

    @property
    def _parts(self) -> tuple[Floats, ...]:
        return self.n, self.appearance, self.prior, self.nearest_s, self.time

    def merge(self, into: int, gone: int) -> None:
        """One of the identities of an (S, S) linkage was merged into another: what was known of it
        is known of that."""
        self._gather(into, gone)
        self.merge_columns(into, gone)

    def merge_columns(self, into: int, gone: int) -> None:
        """One of the others (S,) was merged into another one."""
        self._gather((..., into), (..., gone))

    def _gather(self, kept: Any, other: Any) -> None:
        self.n[kept] += self.n[other]
        self.appearance[kept] += self.appearance[other]
        self.prior[kept] += self.prior[other]
        nearer = self.nearest_s[other] < self.nearest_s[kept]
        self.nearest_s[kept] = np.where(nearer, self.nearest_s[other], self.nearest_s[kept])
        self.time[kept] = np.where(nearer, self.time[other], self.time[kept])

    @property
    def log_prior(self) -> Floats:
        """What cameras alone say, shaped as the rest: the mean over pairs."""
        return np.asarray(self.prior / np.maximum(self.n, 1.0))

    @property
    def log_odds(self) -> Floats:
        """Log odds of one person, shaped as the rest; minus infinity where nothing is known."""
        found = np.maximum(self.n, 1.0)
        np.divide(self.appearance, found, out=found)
        found += self.time
        found[self.n == 0] = -np.inf
        return found
