"""The association probability (equation 5) and what is drawn from it: hard negatives."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def association_probability(p_visual: ArrayLike, p_travel: ArrayLike) -> NDArray[np.float64]:
    """P_a = P_v x P_t (equation 5), element by element."""
    return np.asarray(p_visual, dtype=np.float64) * np.asarray(p_travel, dtype=np.float64)


def sample_hard_negatives(
    p_visual: NDArray[np.float64],
    p_association: NDArray[np.float64],
    n: int,
    rng: np.random.Generator,
) -> NDArray[np.intp]:
    """Indices of ``n`` hard negatives of one query, drawn with replacement.

    The pool is every candidate whose P_a is under the median of all (where half or more are 0, the
    zeros); from it, in proportion to P_v: they look alike, but time says they are not the same.

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
