"""Probabilities of log odds, at the ends too."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgal_stream.core.measures.log_odds import probability


@given(st.floats(-30.0, 30.0))
def test_a_probability_is_that_of_its_odds(log_odds: float) -> None:
    found = float(probability(np.array(log_odds)))
    assert found == pytest.approx(math.exp(log_odds) / (1 + math.exp(log_odds)))


def test_the_ends_are_no_overflow() -> None:
    assert probability(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]
