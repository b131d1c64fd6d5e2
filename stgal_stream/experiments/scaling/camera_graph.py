"""Which cameras people go between, learned before there is any tracker: by look alone.

Two sightings are counted where each is, in look, the other's nearest of all other cameras within a
walk's time. Strangers fall on any two of all cameras, one person's next sightings on the same few
again and again: so what repeats is a street. The count of a slice of time needs that slice and a
walk's time before and after it, so machines can share the work.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array, csr_array

from stgal_stream.experiments.scaling.city import Sightings
from stgal_stream.types import Integers

_BLOCK = 512  # queries at a time
LEAST_WALKS = 3  # of a pair of cameras: strangers fall on the same pair so often almost never


def camera_graph(seen: Sightings, n_cameras: int, walk_s: float) -> csr_array:
    """(C, C) how many people went from one camera to another or back, symmetric. ``walk_s`` is the
    longest walk that is looked for."""
    later, earlier = _nearest(seen, walk_s), _nearest(seen, -walk_s)
    from_row = np.flatnonzero(later >= 0)
    to_row = later[from_row]
    is_mutual = earlier[to_row] == from_row
    one, other = seen.camera[from_row[is_mutual]], seen.camera[to_row[is_mutual]]
    shape = (n_cameras, n_cameras)
    counts = coo_array((np.ones(len(one), np.int64), (one, other)), shape=shape).tocsr()
    both = (counts + counts.T).tocsr()
    both.data[both.data < LEAST_WALKS] = 0
    both.eliminate_zeros()
    return both


def _nearest(seen: Sightings, walk_s: float) -> Integers:
    """(N,) the sighting nearest in look among those of other cameras that begin up to ``walk_s``
    after each one's begin (before it, where that is negative); -1 where there is none."""
    found = np.full(len(seen), -1)
    squares = np.einsum("nd,nd->n", seen.looks, seen.looks)
    for start in range(0, len(seen), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(seen)))
        ends = seen.start_s[rows[[0, -1]]] + np.array([min(walk_s, 0.0), max(walk_s, 0.0)])
        low, high = np.searchsorted(seen.start_s, ends)
        near = slice(int(low), int(high))
        apart = squares[near] - 2.0 * (seen.looks[rows] @ seen.looks[near].T)
        after_s = (seen.start_s[near] - seen.start_s[rows][:, None]) * np.sign(walk_s)
        apart[(after_s <= 0) | (after_s > abs(walk_s))] = np.inf
        apart[seen.camera[rows][:, None] == seen.camera[near]] = np.inf
        if apart.shape[1]:
            best = apart.argmin(axis=1)
            is_there = np.isfinite(apart[np.arange(len(rows)), best])
            found[rows[is_there]] = best[is_there] + int(low)
    return found
