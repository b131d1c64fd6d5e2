"""A grid of travel times: fine near zero, coarser with length, as people's paces differ by a
factor. Its first bin is travel time zero (both in view at one time)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stgal_stream.types import Floats

_STEPS_PER_S = 8  # travel times count in eighths of a second, so that a bin is a table look-up


@dataclass(frozen=True, slots=True)
class TimeGrid:
    """``n`` bins; the first after zero is ``first_s`` wide, each next wider by ``ratio``.

    The defaults reach from one second to five hours. A ratio of 8 % is finer than paces differ.
    """

    first_s: float = 1.0
    ratio: float = 0.08
    n: int = 96

    def bins(self, times_s: ArrayLike) -> NDArray[np.int16]:
        """The bin of each travel time; what is beyond the grid falls into the last."""
        table = _bin_table(self)
        steps = np.atleast_1d(np.asarray(times_s, dtype=np.float64) * _STEPS_PER_S)
        np.minimum(np.ceil(steps, out=steps), len(table) - 1, out=steps)
        return table.take(steps.astype(np.intp)).reshape(np.shape(times_s))

    def edges_s(self) -> Floats:
        """(n + 1,) edges in seconds; the first two are 0."""
        steps = np.concatenate([[0.0], np.arange(self.n)])
        edges: Floats = self.first_s / self.ratio * ((1 + self.ratio) ** steps - 1)
        return edges

    def centres_s(self) -> Floats:
        """(n,) the middle of each bin in seconds; the first is 0."""
        edges = self.edges_s()
        return 0.5 * (edges[:-1] + edges[1:])


@lru_cache(maxsize=8)
def _bin_table(grid: TimeGrid) -> NDArray[np.int16]:
    """The bin of every multiple of the step; time zero alone is in bin 0."""
    last_s = grid.edges_s()[-2]
    times = np.arange(1, int(last_s * _STEPS_PER_S) + 2) / _STEPS_PER_S
    bins = 1 + np.log1p(times * (grid.ratio / grid.first_s)) / np.log1p(grid.ratio)
    table = np.concatenate([[0], np.minimum(bins.astype(np.int64), grid.n - 1)])
    return table.astype(np.int16)


def smoothed(counts: Floats, base: Floats, *, pseudo: float = 4.0) -> Floats:
    """A probability for each bin, (..., n), from counts (..., n).

    A Gaussian kernel over neighbouring bins, narrower with more counts (as n^-1/5, Silverman's
    rate), then ``pseudo`` counts of the ``base`` density (..., n), so that nothing is impossible.
    Zero is kept apart: simultaneous views are a matter of geometry, not of pace.
    """
    rows = np.atleast_2d(counts)
    n = rows.sum(axis=1)
    widths = np.clip(2.0 * (100.0 / np.maximum(n, 1.0)) ** 0.2, 0.8, 4.0)
    tenths = np.round(widths * 10).astype(np.int64)
    blurred = np.empty_like(rows)
    blurred[:, 0] = rows[:, 0]
    for width in np.unique(tenths).tolist():
        mine = tenths == width
        blurred[mine, 1:] = rows[mine, 1:] @ _blur(rows.shape[1] - 1, width)
    result = blurred + pseudo * base / base.sum(axis=-1, keepdims=True)
    result = result / result.sum(axis=1, keepdims=True)
    return np.asarray(result.reshape(np.shape(counts)))


@lru_cache(maxsize=64)
def _blur(n: int, tenths: int) -> Floats:
    """(n, n) a Gaussian kernel of so many tenths of a bin, reflected at the ends: every row sums
    to one."""
    width = tenths / 10.0
    reach = int(np.ceil(3 * width))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    kernel /= kernel.sum()
    at = np.arange(n)[:, None] + np.arange(-reach, reach + 1)[None, :]
    at = at % (2 * n)
    at = np.where(at < n, at, 2 * n - 1 - at)  # symmetric: the edge is there twice
    made = np.zeros((n, n))
    np.add.at(made, (np.repeat(np.arange(n), len(kernel)), at.ravel()), np.tile(kernel, n))
    return made
