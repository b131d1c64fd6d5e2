"""Counts with weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgal_stream.types import Floats


def weighted_counts(bins: NDArray[Any], weights: NDArray[Any] | None, n: int) -> Floats:
    """(n,) the sum of the weights in each of ``n`` bins; without weights, how many there are."""
    return np.bincount(bins, weights, minlength=n).astype(np.float64)
