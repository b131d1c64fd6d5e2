"""Batches from within each camera alone: Baseline B.

Sparse space-time tracklet sampling (Li et al., ECCV 2018): in one camera and one short period a
person makes one track, so the tracks of that camera and period are classes of their own, known
without a label. Law: two tracks of different cameras or periods take no part with each other,
nor do two of which one begins soon after the other ends: a track may have been broken, and boxes
that no camera tracks make several of one visit.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from stgal_stream.errors import DataError
from stgal_stream.retraining.data.stream_events import Sighting
from stgal_stream.training.batches import Batch
from stgal_stream.training.trainer import TrainingSettings

PERIOD_S = 120.0
_GAP_S = 20.0
_N_OF_PERIOD = 8


class IntraCameraSampler:
    """Draws tracks of some cameras and periods, and ``n_views`` crops of each.

    Raises:
        DataError: no camera has two tracks in one period that cannot be one person's.
    """

    def __init__(
        self,
        sightings: list[Sighting],
        seed: int,
        n_tracks: int,
        n_crops: list[int],
        n_views: int,
    ) -> None:
        self._sightings = sightings
        every = _periods_of(sightings)
        self._periods = [rows for rows in every if _told_apart(sightings, rows).any()]
        if not self._periods:
            raise DataError(
                f"no camera has two tracks in {PERIOD_S:.0f} s that one person cannot have made: "
                "nothing to tell apart",
                hint="let the daemon run longer",
            )
        self._seed, self._n = seed, n_tracks
        self._n_crops, self._n_views = n_crops, n_views

    @classmethod
    def like(
        cls, settings: TrainingSettings, sightings: list[Sighting], n_crops: list[int]
    ) -> IntraCameraSampler:
        """As many tracks in a batch as pairs and their negatives would be."""
        n_tracks, n_views = 3 * settings.n_pairs, max(2, settings.n_views)
        return cls(sightings, settings.seed, n_tracks, n_crops, n_views)

    @property
    def n_tracks(self) -> int:
        """How many tracks there are to draw from."""
        return sum(map(len, self._periods))

    def batch(self, number: int) -> tuple[Batch, np.random.Generator]:
        """Batch ``number``, and the generator to augment it with."""
        rng = np.random.default_rng((self._seed, number))
        share = np.array([len(rows) for rows in self._periods], float)
        order = rng.choice(len(share), len(share), replace=False, p=share / share.sum())
        rows: list[int] = []
        period: list[int] = []
        for which in order.tolist():
            there = self._periods[which]
            drawn = rng.permutation(there)[: min(_N_OF_PERIOD, self._n - len(rows))]
            rows += drawn.tolist()
            period += [which] * len(drawn)
            if len(rows) >= self._n:
                break
        views = np.concatenate(
            [np.resize(rng.permutation(self._n_crops[row]), self._n_views) for row in rows]
        )
        same, other = self._likeness(np.array(rows), np.array(period))
        n = self._n_views
        same, other = (m.repeat(n, axis=0).repeat(n, axis=1) for m in (same, other))
        np.fill_diagonal(same, False)
        return Batch(np.repeat(rows, n), views, same, other), rng

    def _likeness(
        self, rows: NDArray[np.int64], period: NDArray[np.int64]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        same = rows[:, None] == rows[None, :]
        of_one_period = period[:, None] == period[None, :]
        return same, of_one_period & _told_apart(self._sightings, rows)


def told_apart_pairs(sightings: list[Sighting]) -> NDArray[np.int64]:
    """(M, 2) rows of two tracks of one camera and period that one person can hardly have made."""
    found = [
        rows[np.argwhere(np.triu(_told_apart(sightings, rows)))] for rows in _periods_of(sightings)
    ]
    return np.concatenate([np.zeros((0, 2), np.int64), *found])


def _periods_of(sightings: list[Sighting]) -> list[NDArray[np.int64]]:
    """The rows of each camera and period."""
    periods: dict[tuple[str, str, int], list[int]] = defaultdict(list)
    for row, s in enumerate(sightings):
        periods[s.site, s.camera, int(s.start_s // PERIOD_S)].append(row)
    return [np.array(rows, np.int64) for rows in periods.values()]


def _told_apart(sightings: list[Sighting], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(N, N), of tracks of one camera and period: at one time, or one well after the other."""
    starts = np.array([sightings[row].start_s for row in rows])
    ends = np.array([sightings[row].end_s for row in rows])
    gap = np.maximum(starts[:, None] - ends[None, :], starts[None, :] - ends[:, None])
    apart = ((gap <= 0) | (gap > _GAP_S)) & (rows[:, None] != rows[None, :])
    return np.asarray(apart)
