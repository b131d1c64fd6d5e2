"""A grid of travel times: fine near zero, coarser with length, as people's paces differ by a
factor. Its first bin is travel time zero (both in view at one time)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TimeGrid:
    """``n`` bins; the first after zero is ``first_s`` wide, each next ``ratio`` wider."""

    first_s: float = 1.0
    ratio: float = 0.08
    n: int = 96

    def bins(self, times_s: ArrayLike) -> NDArray[np.int64]:
        """The bin of each travel time; what is beyond the grid falls into the last."""
        times = np.asarray(times_s, dtype=np.float64)
        steps = np.log1p(times * (self.ratio / self.first_s)) / np.log1p(self.ratio)
        index = np.where(times > 0, 1 + steps.astype(np.int64), 0)
        return np.minimum(index, self.n - 1)

    def edges_s(self) -> Floats:
        """(n + 1,) edges in seconds; the first two are 0."""
        steps = np.concatenate([[0.0], np.arange(self.n)])
        edges: Floats = self.first_s / self.ratio * ((1 + self.ratio) ** steps - 1)
        return edges


def smoothed(counts: Floats, base: Floats, *, pseudo: float = 4.0) -> Floats:
    """A probability per bin from counts: smoothed over neighbouring bins, the more the fewer there
    are, and mixed with ``pseudo`` counts of the base density so that nothing is impossible."""
    n = float(counts.sum())
    width = float(np.clip(2.0 * (100.0 / max(n, 1.0)) ** 0.2, 0.8, 4.0))
    reach = int(np.ceil(3 * width))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    kernel /= kernel.sum()
    inner = np.pad(counts[1:], reach, mode="reflect")
    spread = np.convolve(inner, kernel, mode="valid")
    # Zero is apart: simultaneous views are a matter of geometry, not of pace.
    result = np.concatenate([counts[:1], spread]) + pseudo * base
    return np.asarray(result / result.sum())
