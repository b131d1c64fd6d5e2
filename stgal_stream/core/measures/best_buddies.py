"""Best buddies: who are each other's best match.

BBP (best-buddies pairs): q of camera a and g of camera b are each other's most probable partner.
IBBS (iterated best-buddies search): walk q's ranking of b for as long as each one's own most
probable partner in a is q; all that were walked are accepted.

The closed form: with top(g) the best partner of g in a, IBBS accepts (q, g) iff top(g) = q and
P(q, g) exceeds every P(q, g') with top(g') != q. Of equal scores the first comes first. The tests
hold it against the walk; ``matching.online_best_buddies`` keeps the same answer up to date.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stgal_stream.types import Floats, Integers, Mask


def best_buddies(scores: Floats, *, iterated: bool = True) -> Integers:
    """The accepted pairs (M, 2), rows (i, j), of a matrix of scores (Q, G) of two cameras, both
    directions united. ``iterated=False`` is BBP, True is IBBS. Minus infinity is never accepted."""
    forward = _accepted(scores, iterated)
    backward = _accepted(scores.T, iterated)[:, ::-1]
    return np.unique(np.concatenate([forward, backward]), axis=0)


def _accepted(scores: Floats, iterated: bool) -> Integers:
    n_queries, n_gallery = scores.shape
    if not n_queries or not n_gallery:
        return np.zeros((0, 2), np.int64)
    columns = np.arange(n_gallery)
    top = scores.argmax(axis=0)
    value = scores[top, columns]
    if not iterated:
        best = scores.argmax(axis=1)
        rows = np.arange(n_queries)
        mutual = (top[best] == rows) & np.isfinite(scores[rows, best])
        return np.stack([rows[mutual], best[mutual]], axis=1)
    others = scores.copy()
    others[top, columns] = -np.inf
    blocker = others.argmax(axis=1)
    bound = others[np.arange(n_queries), blocker][top]
    first = (value == bound) & (columns < blocker[top])
    accepted = ((value > bound) | first) & np.isfinite(value)
    return np.stack([top[accepted], columns[accepted]], axis=1)


class MutualNearest:
    """BBP by distance over blocks of queries, so that no whole matrix is held.

    ``take`` the distances of each block of queries to the whole gallery, in order; ``pairs`` are
    then the mutual nearest neighbours. Infinite distances are never accepted.
    """

    def __init__(self, n_queries: int, n_gallery: int) -> None:
        self.nearest: Integers = np.zeros(n_queries, np.int64)
        self.distance: Floats = np.full(n_queries, np.inf)
        self._back: Integers = np.zeros(n_gallery, np.int64)
        self._back_distance: Floats = np.full(n_gallery, np.inf)

    def take(self, start: int, d: NDArray[np.floating]) -> None:
        """Distances (B, G) of the queries ``start`` to ``start + B``."""
        rows = slice(start, start + len(d))
        nearest = d.argmin(axis=1)
        self.nearest[rows] = nearest
        self.distance[rows] = d[np.arange(len(d)), nearest]
        best = d.argmin(axis=0)
        closest = d[best, np.arange(d.shape[1])]
        better = closest < self._back_distance
        self._back[better], self._back_distance[better] = best[better] + start, closest[better]

    def mutual(self) -> Mask:
        """(Q,) whether each query and its ``nearest`` are each other's nearest."""
        is_back = self._back[self.nearest] == np.arange(len(self.nearest))
        return np.asarray(is_back & np.isfinite(self.distance))
