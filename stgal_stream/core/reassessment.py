"""Second thoughts: identities judged anew after a calibration, all evidence of the window in hand.

Average linkage over whole identities first (merges), then single tracklets that clearly belong
elsewhere (corrections). What it cannot improve it leaves as it is, so ids are stable.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from stgal_stream.core.identities import Identities
from stgal_stream.core.scorer import Scorer

_MOVE_MARGIN = 1.0
Floats = NDArray[np.float64]


class LinkageTable:
    """Sums and numbers of known log odds between identities, filled tracklet by tracklet.

    ``room`` is one more than the largest label, ``least`` the mean log odds that a merge needs.
    """

    def __init__(self, identities: Identities, room: int, least: float) -> None:
        self.identities = identities
        self.room = room
        self.least = least
        self._totals: dict[int, Floats] = {}
        self._counts: dict[int, Floats] = {}
        self.doubtful: list[int] = []

    def add(self, number: int, log_odds: Floats, labels: NDArray[np.int64]) -> None:
        """Takes one tracklet's log odds against the whole window."""
        known = np.isfinite(log_odds)
        count = np.bincount(labels[known], minlength=self.room).astype(np.float64)
        total = np.bincount(labels[known], log_odds[known], minlength=self.room)
        own = self.identities.label_of(number)
        mean = np.where(count > 0, total / np.maximum(count, 1), -np.inf)
        if len(self.identities[own].members) > 1:
            stay = mean[own] if count[own] else 0.0
            mean[own] = -np.inf
            if mean.max() > max(self.least, stay + _MOVE_MARGIN):
                self.doubtful.append(number)
        if own in self._totals:
            self._totals[own] += total
            self._counts[own] += count
        else:
            self._totals[own] = np.asarray(total, dtype=np.float64)
            self._counts[own] = count

    def finish(self, label: int) -> None:
        """All tracklets of an identity are in: forgets it unless it may merge with another."""
        total, count = self._totals[label], self._counts[label]
        hopeful = total > self.least * count
        hopeful &= count > 0
        hopeful[label] = False
        if not hopeful.any():
            del self._totals[label], self._counts[label]

    def merges(self) -> Iterator[tuple[int, int]]:
        """Pairs of labels to merge, the best linkage first; the second goes into the first.

        The caller merges between two ``next`` calls or reports the pair through ``refuse``.
        """
        labels = [label for label in self.identities.labels if label in self._totals]
        if not labels:
            return
        at = np.array(labels)
        total = np.stack([self._totals[label][at] for label in labels])
        count = np.stack([self._counts[label][at] for label in labels])
        alive = [True] * len(labels)
        stamp = [0] * len(labels)
        heap = [
            (-total[i, j] / count[i, j], i, j, 0, 0)
            for i, j in zip(
                *np.nonzero(np.triu((total > self.least * count) & (count > 0), 1)), strict=True
            )
        ]
        heapq.heapify(heap)
        while heap:
            _, i, j, stamp_i, stamp_j = heapq.heappop(heap)
            if not (alive[i] and alive[j]) or (stamp[i], stamp[j]) != (stamp_i, stamp_j):
                continue
            if self.identities.are_apart(labels[i], labels[j]):
                continue
            yield labels[i], labels[j]
            alive[j] = False
            stamp[i] += 1
            for table in (total, count):
                table[i] += table[j]
                table[:, i] += table[:, j]
            for k in np.flatnonzero((total[i] > self.least * count[i]) & (count[i] > 0)).tolist():
                if k != i and alive[k]:
                    a, b = min(i, k), max(i, k)
                    score = -total[a, b] / count[a, b]
                    heapq.heappush(heap, (score, a, b, stamp[a], stamp[b]))


def better_identity(identities: Identities, scorer: Scorer, number: int) -> int | None:
    """The label to which a tracklet clearly belongs rather than to its own identity, if any."""
    if len(identities.of(number).members) < 2:
        return None
    log_odds = scorer.log_odds(number)
    own = identities.label_of(number)
    mates = np.array([m for m in identities[own].members if m != number])
    values = log_odds[mates - scorer.gallery.first]
    values = values[np.isfinite(values)]
    stay = float(values.mean()) if values.size else 0.0
    found = [c for c in identities.candidates(number, log_odds) if c.label != own]
    if found and found[0].mean_log_odds > stay + _MOVE_MARGIN:
        return found[0].label
    return None
