"""Mutual nearest neighbours block by block are those of the whole matrix."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stgal_stream.core.measures.best_buddies import MutualNearest, best_buddies


@given(
    st.integers(0, 10_000), st.integers(1, 20), st.integers(1, 20), st.integers(1, 7),
    st.sampled_from([0, 3]),
)  # fmt: skip
def test_blocks_equal_the_matrix(seed: int, n: int, m: int, block: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    d = rng.random((n, m)) if levels == 0 else rng.integers(0, levels, (n, m)).astype(float)
    d[rng.random((n, m)) < 0.2] = np.inf
    found = MutualNearest(n, m)
    for start in range(0, n, block):
        found.take(start, d[start : start + block])
    mutual = found.mutual()
    pairs = {(i, int(found.nearest[i])) for i in np.flatnonzero(mutual).tolist()}
    assert pairs == {(i, j) for i, j in best_buddies(-d, iterated=False).tolist()}
    assert all(found.distance[i] == d[i, j] for i, j in pairs)
