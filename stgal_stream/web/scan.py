"""A query's way through rows of vectors: which are closest, exactly, at a quarter of the reading.

The 8-bit copy says between which bounds each product lies. Rows that may be among the ``n`` closest
are then looked at in full. So the answer is that of all vectors in full, equal ones included.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stgal_stream.types import Integers, Mask, Vector, Vectors
from stgal_stream.web.quantised import QuantisedFile, quantised

# Rows at once: few at first, since a limit is soon known then; later as many as a cache holds.
_FIRST_BLOCK, _BLOCK = 1024, 16_384
# Beyond this share of a block it takes longer to pick rows than to read all of them.
_FEW = 0.125
_EPS = float(np.finfo(np.float32).eps)


@dataclass(frozen=True, slots=True)
class Rows:
    """What is compared: ``vectors`` (N, D) and their 8-bit copy; (N,) each: a product with the
    query less ``offsets`` times ``scales`` is the closeness of those that are ``mine``."""

    vectors: Vectors
    quantised: QuantisedFile
    offsets: Vector
    scales: Vector
    mine: Mask


class Scan:
    """The ``n`` closest so far."""

    def __init__(self, rows: Rows, query: Vector, n: int) -> None:
        self._rows, self._query, self._n = rows, query, n
        self._rounded = quantised(query[None])
        self._blind = self._waited = 0
        self.found: Integers = np.zeros(0, np.int64)
        self.closeness: Vector = np.zeros(0, np.float32)

    def run(self, start: int, stop: int) -> Scan:
        """Goes through the rows from ``start`` to before ``stop``."""
        size = max(_FIRST_BLOCK, self._n)
        while start < stop:
            self._take(slice(start, min(start + size, stop)))
            start, size = start + size, min(2 * size, max(_BLOCK, self._n))
        return self

    def _take(self, rows: slice) -> None:
        places = np.flatnonzero(self._rows.mine[rows])
        few = _FEW * (rows.stop - rows.start)
        if len(self.found) == self._n and len(places) > few:
            places = self._possible(rows, places, few)
        if len(places):
            self._keep(rows.start + places, self._in_full(rows, places, few))

    def _possible(self, rows: slice, places: Integers, few: float) -> Integers:
        """Of some places in a block those that can be among the closest. Where that were most (all
        look alike) the copy is of no use: it is left aside, each time for twice as many blocks."""
        if self._blind:
            self._blind -= 1
            return places
        product, error = self._rows.quantised.products(rows, self._rounded)
        offsets, scales = self._rows.offsets[rows], self._rows.scales[rows]
        error += 2.0 * _EPS * (np.abs(product) + error + np.abs(offsets))
        highest = (product - offsets + error) * scales
        left: Integers = places[highest[places] >= self.closeness[-1]]
        self._waited = 2 * self._waited + 1 if len(left) > few else 0
        self._blind = self._waited
        return left

    def _in_full(self, rows: slice, places: Integers, few: float) -> Vector:
        """Closeness of some places in a block. Each follows from its own vector alone."""
        vectors = self._rows.vectors
        if len(places) > few:
            product: Vector = np.einsum("nd,d->n", vectors[rows], self._query)[places]
        else:
            product = np.einsum("nd,d->n", vectors[rows.start + places], self._query)
        product -= self._rows.offsets[rows][places]
        product *= self._rows.scales[rows][places]
        return product

    def _keep(self, rows: Integers, closeness: Vector) -> None:
        rows = np.concatenate([self.found, rows])
        closeness = np.concatenate([self.closeness, closeness])
        best = largest(closeness, self._n)
        self.found, self.closeness = rows[best], closeness[best]


def largest(values: Vector, n: int) -> Integers:
    """Places of the ``n`` largest, largest first; of equal ones the first."""
    if n < len(values):
        limit = np.partition(values, len(values) - n)[len(values) - n] if n else np.inf
        found = np.flatnonzero(values >= limit)
    else:
        found = np.arange(len(values))
    return found[np.argsort(-values[found], kind="stable")][:n]
