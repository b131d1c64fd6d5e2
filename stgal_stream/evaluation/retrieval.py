"""Retrieval by the standard protocol of person re-identification: CMC, mAP, mINP.

Laws. For each query the gallery's images of the same person in the same camera and all junk
are taken out; distractors stay and are wrong. Queries without a match left do not count. Of equal
scores the one that comes first in the gallery ranks first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

JUNK = -1
DISTRACTOR = 0
_TOP = 50


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Figures as fractions over ``n_queries`` queries that have a match; ``cmc[k - 1]`` is the
    share whose first match ranks k or better. ``mINP`` is that of Ye et al. 2021 (the share of
    matches among all that one must look at to have seen every match)."""

    n_queries: int
    cmc: tuple[float, ...]
    mAP: float  # noqa: N815 - the field's own name
    mINP: float  # noqa: N815

    def rank(self, k: int) -> float:
        """CMC at k, 1 to 50."""
        return self.cmc[k - 1]


class Ranking:
    """Collects rankings query by query."""

    def __init__(self, gallery_person: Integers, gallery_camera: Integers) -> None:
        self._person = gallery_person
        self._camera = gallery_camera
        self._first: list[int] = []
        self._precision: list[float] = []
        self._inverse_penalty: list[float] = []

    def add(self, scores: Floats, person: int, camera: int) -> Integers | None:
        """Takes one query's scores against the gallery, (G,), the higher the more alike.

        Returns the 0-based ranks of its matches, ascending; None where it has none.
        """
        mine = self._person == person
        right = np.flatnonzero(mine & (self._camera != camera)) if person > DISTRACTOR else mine[:0]
        if not len(right):
            return None
        ranked = (self._person != JUNK) & ~(mine & (self._camera == camera))
        ranks = np.sort(_ranks(scores, right, ranked))
        hits = np.arange(1, len(ranks) + 1)
        self._first.append(int(ranks[0]))
        self._precision.append(float(np.mean(hits / (ranks + 1))))
        self._inverse_penalty.append(len(ranks) / (int(ranks[-1]) + 1))
        return ranks

    def result(self) -> Retrieval:
        """The figures so far.

        Raises:
            ValueError: no query had a match.
        """
        if not self._first:
            raise ValueError("no query has a match in the gallery")
        counts = np.bincount(np.minimum(self._first, _TOP), minlength=_TOP + 1)[:_TOP]
        cmc = np.cumsum(counts) / len(self._first)
        return Retrieval(
            len(self._first),
            tuple(cmc.tolist()),
            float(np.mean(self._precision)),
            float(np.mean(self._inverse_penalty)),
        )


def _ranks(scores: Floats, right: Integers, ranked: NDArray[np.bool_]) -> Integers:
    """How many of those that are ranked come before each right one."""
    values = np.where(ranked, scores, -np.inf)
    found = np.empty(len(right), np.int64)
    for i, at in enumerate(right.tolist()):
        better = np.count_nonzero(values > scores[at])
        ties = np.count_nonzero(values[:at] == scores[at])
        found[i] = better + ties
    return found
