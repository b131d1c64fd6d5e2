"""Expected average precision on histogram cells against the plain definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgal_stream.core.calibration.alpha import average_precision


@given(st.integers(0, 10_000), st.integers(1, 40))
def test_average_precision_is_that_of_the_ranking(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.permutation(n).astype(float)  # no ties: each cell ranks by itself
    total = rng.integers(1, 9, n).astype(float)
    same = total * rng.random(n)
    order = np.argsort(-scores)
    right, seen = np.cumsum(same[order]), np.cumsum(total[order])
    wanted = (same[order] * right / seen).sum() / max(same.sum(), 1e-12)
    assert average_precision(scores, same, total) == pytest.approx(wanted, rel=1e-9)
