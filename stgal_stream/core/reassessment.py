"""Second thoughts: identities judged anew after a calibration, all evidence of the window in hand.

Average linkage over whole identities first (merges; where the mean over all pairs is in doubt, the
two as wholes decide), then single tracklets that clearly belong elsewhere (corrections). What it
cannot improve it leaves as it is, so ids are stable.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from stgal_stream.core.calibration import Scores
from stgal_stream.core.identities import Identities
from stgal_stream.core.scorer import Scorer
from stgal_stream.core.tally import Tally

_MOVE_MARGIN = 1.0
_DOUBT = 4.0  # so far under the odds that a merge needs, wholes are asked


class LinkageTable:
    """Tallies between identities, filled tracklet by tracklet.

    ``room`` is one more than the largest label, ``least`` the log odds that a merge needs.
    """

    def __init__(self, identities: Identities, room: int, least: float) -> None:
        self.identities = identities
        self.room = room
        self.least, self.hopeful = least, least - _DOUBT
        self._tallies: dict[int, Tally] = {}
        self.doubtful: list[int] = []

    def add(self, number: int, scores: Scores, labels: NDArray[np.int64]) -> None:
        """Takes one tracklet's scores against the whole window."""
        tally = Tally.of(scores, labels, self.room)
        own = self.identities.label_of(number)
        if len(self.identities[own].members) > 1:
            log_odds = tally.log_odds
            stay = log_odds[own] if tally.n[own] else 0.0
            log_odds[own] = -np.inf
            if log_odds.max() > max(self.least, stay + _MOVE_MARGIN):
                self.doubtful.append(number)
        if own in self._tallies:
            self._tallies[own].add(tally)
        else:
            self._tallies[own] = tally

    def finish(self, label: int) -> None:
        """All tracklets of an identity are in: forgets it unless it may merge with another."""
        hopeful = self._tallies[label].log_odds > self.hopeful
        hopeful[label] = False
        if not hopeful.any():
            del self._tallies[label]

    def merges(self) -> Iterator[tuple[int, int]]:
        """Pairs of labels to merge, the best linkage first; the second goes into the first.

        The caller merges between two ``next`` calls.
        """
        labels = [label for label in self.identities.labels if label in self._tallies]
        if not labels:
            return
        table = Tally.between([self._tallies[label] for label in labels], np.array(labels))
        alive = np.ones(len(labels), bool)
        stamp = [0] * len(labels)
        heap = []
        log_odds = table.log_odds
        for i, j in zip(*np.nonzero(np.triu(log_odds > self.hopeful, 1)), strict=True):
            heap.append((-float(log_odds[i, j]), int(i), int(j), 0, 0))
        heapq.heapify(heap)
        while heap:
            minus_log_odds, i, j, stamp_i, stamp_j = heapq.heappop(heap)
            if not (alive[i] and alive[j]) or (stamp[i], stamp[j]) != (stamp_i, stamp_j):
                continue
            if -minus_log_odds <= self.least and not self.identities.agree(
                labels[i], labels[j], float(table.time[i, j])
            ):
                continue
            if self.identities.are_apart(labels[i], labels[j]):
                continue
            yield labels[i], labels[j]
            alive[j] = False
            stamp[i] += 1
            table.merge(i, j)
            log_odds_i = table.row(i).log_odds
            hopeful = (log_odds_i > self.hopeful) & alive
            hopeful[i] = False
            for k in np.flatnonzero(hopeful).tolist():
                a, b = min(i, k), max(i, k)
                heapq.heappush(heap, (-float(log_odds_i[k]), a, b, stamp[a], stamp[b]))


def better_identity(identities: Identities, scorer: Scorer, number: int) -> int | None:
    """The label to which a tracklet clearly belongs rather than to its own identity, if any."""
    if len(identities.of(number).members) < 2:
        return None
    scores = scorer.one(number)
    own = identities.label_of(number)
    labels = scorer.gallery.labels
    tally = Tally.of(scores, labels, int(labels.max()) + 1)
    stay = float(tally.log_odds[own]) if tally.n[own] else 0.0
    found = [c for c in identities.candidates(number, scores) if c.label != own]
    return next((c.label for c in found if c.log_odds > stay + _MOVE_MARGIN), None)
