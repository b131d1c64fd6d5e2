"""Which camera pairs of a wide site are looked at one by one, and all others counted together.

With a thousand cameras there are half a million camera pairs, and nearly all of them have seen
nothing. Whether a pair has seen something shows in its best buddies; they are found for all pairs
at once, and so is the histogram of what is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stgal_stream.core.calibration.link_test import MIN_BUDDIES
from stgal_stream.core.calibration.shared_light import SharedLight
from stgal_stream.core.calibration.time_grid import TimeGrid
from stgal_stream.core.measures.distance import distances
from stgal_stream.core.measures.travel_time import Spans, travel_times_s
from stgal_stream.types import Floats, Integers, Vectors

_BLOCK = 256  # queries at a time


@dataclass(frozen=True, slots=True)
class SortedTracklets:
    """Tracklets sorted by camera: directions (N, D), when they were in view, cameras (N,) numbered
    from 0 on without a gap, and where each camera begins, (C,)."""

    directions: Vectors
    spans: Spans
    cameras: Integers
    starts: Integers

    def blocks(
        self, grid: TimeGrid, light: SharedLight | None
    ) -> Iterator[tuple[slice, Vectors, NDArray[np.int16]]]:
        """Rows, their distances to all (B, N) and the bins of their travel times (B, N)."""
        squares = np.einsum("nd,nd->n", self.directions, self.directions)
        for start in range(0, len(self.cameras), _BLOCK):
            rows = slice(start, min(start + _BLOCK, len(self.cameras)))
            d = distances(self.directions[rows], self.directions, squares)
            bins = grid.bins(travel_times_s(self.spans[rows][:, None], self.spans[None, :]))
            if light is not None:
                d = light.seen(d, bins).astype(np.float32)
            yield rows, d, bins


def cells_of(
    d: Vectors, bins: NDArray[np.int16], width: float, n_distances: int, grid: TimeGrid
) -> NDArray[np.int32]:
    """The histogram's cells of pairs, of any shape, from distances and the bins of travel times."""
    found = np.minimum((d * (1 / width)).astype(np.int32), np.int32(n_distances - 1))
    return np.asarray(found * np.int32(grid.n) + bins, dtype=np.int32)


@dataclass(frozen=True, slots=True)
class AllPairs:
    """``across`` (D T,) counts the pairs of two cameras by distance bin and time bin, each once;
    ``nearest`` (N, C) is the tracklet of each camera that is nearest to each tracklet."""

    across: Floats
    nearest: NDArray[np.int32]

    @classmethod
    def of(
        cls,
        found: SortedTracklets,
        grid: TimeGrid,
        light: SharedLight | None,
        width: float,
        n_distances: int,
    ) -> AllPairs:
        """All pairs, in one pass."""
        table = np.zeros(n_distances * grid.n, np.int64)
        nearest = np.empty((len(found.cameras), len(found.starts)), np.int32)
        for rows, d, bins in found.blocks(grid, light):
            # A distance is not negative, so its bits are in order; the column goes along.
            keys = d.view(np.int32).astype(np.int64) << 32
            keys |= np.arange(len(found.cameras))
            nearest[rows] = np.minimum.reduceat(keys, found.starts, axis=1) & 0x7FFFFFFF
            later = found.cameras[rows][:, None] < found.cameras[None, :]
            cells = cells_of(d, bins, width, n_distances, grid)[later]
            table += np.bincount(cells, minlength=len(table))
        return cls(table.astype(np.float64), nearest)

    def telling(self, found: SortedTracklets, most: int) -> list[tuple[int, int]]:
        """The camera pairs (a < b) with the most best buddies, up to a most; those with too few for
        a link are left out."""
        n_cameras = len(found.starts)
        back = self.nearest[self.nearest, found.cameras[:, None]]
        is_mutual = back == np.arange(len(found.cameras))[:, None]
        is_mutual &= found.cameras[:, None] < np.arange(n_cameras)[None, :]
        row, other = np.nonzero(is_mutual)
        pairs, counts = np.unique(found.cameras[row] * n_cameras + other, return_counts=True)
        pairs, counts = pairs[counts >= MIN_BUDDIES], counts[counts >= MIN_BUDDIES]
        best = pairs[np.argsort(-counts, kind="stable")[:most]]
        return sorted((int(pair // n_cameras), int(pair % n_cameras)) for pair in best)
