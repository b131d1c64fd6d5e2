"""Hard negatives: candidates that look alike, but time says that they are not the same person."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stgal_stream.types import Floats


def sample_hard_negatives(
    p_visual: Floats, p_association: Floats, n: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Indices (n,) of hard negatives of one query, drawn with replacement.

    The pool is every candidate whose P_a is under the median of all (where half or more are 0, the
    zeros); from it, in proportion to P_v (the paper's section on hard negatives).

    Raises:
        ValueError: the two arrays are not of one length, or the pool is empty.
    """
    if p_visual.shape != p_association.shape:
        raise ValueError("p_visual and p_association must have one shape")
    middle = np.median(p_association) if p_association.size else 0.0
    pool = np.flatnonzero((p_association < middle) | (p_association == 0))
    if not pool.size:
        raise ValueError("no candidate lies under the median of P_a")
    weight = p_visual[pool]
    total = weight.sum()
    share = weight / total if total > 0 else None
    chosen: NDArray[np.intp] = pool[rng.choice(pool.size, size=n, p=share)]
    return chosen
