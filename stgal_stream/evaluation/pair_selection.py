"""Pseudo-pairs of a whole window at once: by threshold, BBP and IBBS, in closed form.

The law: with top(g) the best partner of g in a, the pair (q, g) is accepted by IBBS iff top(g) = q
and P(q, g) exceeds every P(q, g') with top(g') != q; of equal ones the first comes first. That is
what ``core.best_buddies`` finds by walking; the tests hold the two together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Pairs = NDArray[np.int64]


def best_buddies_of(scores: Floats, *, iterated: bool = True) -> Pairs:
    """The accepted pairs (M, 2), rows (i, j), of a matrix of scores (Q, G) of two cameras, both
    directions united. Scores of minus infinity are never accepted."""
    forward = _accepted(scores, iterated)
    backward = _accepted(scores.T, iterated)[:, ::-1]
    return np.unique(np.concatenate([forward, backward]), axis=0)


def _accepted(scores: Floats, iterated: bool) -> Pairs:
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
