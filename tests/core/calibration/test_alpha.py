"""The slope of the logistic regression on histogram cells, against labels of a known slope."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgal_stream.core.calibration.alpha import logistic_slope


@given(st.integers(0, 10_000), st.floats(-30.0, 5.0), st.floats(-8.0, 4.0))
def test_the_slope_of_labels_that_follow_it_is_found(seed: int, slope: float, at: float) -> None:
    rng = np.random.default_rng(seed)
    x, given_odds = rng.uniform(0.0, 1.5, 300), rng.normal(0.0, 2.0, 300)
    total = rng.integers(1, 9, 300).astype(float)
    right = total / (1.0 + np.exp(-(given_odds + at + slope * (x - 0.7))))
    assert logistic_slope(x, given_odds, right, total) == pytest.approx(slope, abs=0.05)


def test_labels_without_a_right_one_have_a_finite_slope() -> None:
    x = np.linspace(0.0, 1.0, 50)
    assert np.isfinite(logistic_slope(x, np.zeros(50), np.zeros(50), np.ones(50)))
