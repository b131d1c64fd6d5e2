"""Isotonic regression against a quadratic reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgal_stream.core.measures.isotonic import isotonic_decreasing

values = st.lists(st.tuples(st.floats(-5, 5), st.floats(0.1, 3)), min_size=1, max_size=12)


def reference(y: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Min-max formula: the least of the greatest means of intervals about each point."""
    n = len(y)

    def mean(i: int, j: int) -> float:
        return float((y[i : j + 1] @ w[i : j + 1]) / w[i : j + 1].sum())

    return np.array(
        [max(min(mean(i, j) for i in range(k + 1)) for j in range(k, n)) for k in range(n)]
    )


@given(values)
def test_equals_the_min_max_formula(pairs: list[tuple[float, float]]) -> None:
    y, w = (np.array(side) for side in zip(*pairs, strict=True))
    found = isotonic_decreasing(y, w)
    assert (np.diff(found) <= 1e-9).all()
    assert found == pytest.approx(reference(y, w), abs=1e-7)
