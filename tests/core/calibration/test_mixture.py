"""The mixture: it finds what its own law made, and its M-step is the logistic regression."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from stgal_stream.core.calibration.link_test import LinkStatus
from stgal_stream.core.calibration.mixture import fit_mixture
from stgal_stream.core.calibration.pair_histogram import N_DISTANCE_BINS, PairHistogram
from stgal_stream.core.calibration.time_grid import TimeGrid

GRID = TimeGrid()
CENTRES = (np.arange(N_DISTANCE_BINS) + 0.5) / N_DISTANCE_BINS


def drawn(seed: int, n_same: int, n_other: int, apart: float) -> PairHistogram:
    """Pairs drawn from two Gaussians of distance, ``apart`` of the range from each other, and two
    laws of time."""
    rng = np.random.default_rng(seed)
    table = np.zeros((N_DISTANCE_BINS, GRID.n))
    buddies = []
    for n, middle, seconds in (
        (n_same, 0.7 - apart, 40 * rng.lognormal(0, 0.2, n_same)),
        (n_other, 0.7, rng.uniform(1, 2000, n_other)),
    ):
        d = np.clip(rng.normal(middle, 0.06, n), 0, 0.999)
        np.add.at(table, ((d * N_DISTANCE_BINS).astype(int), GRID.bins(seconds)), 1)
        buddies.append((d, seconds))
    d, seconds = (side[:200] for side in buddies[0])
    return PairHistogram(("a", "b"), table, d, seconds)


@pytest.mark.parametrize("apart", [0.2, 0.3])
def test_it_finds_how_many_are_one_person_and_when_they_come(apart: float) -> None:
    (fit,) = fit_mixture([drawn(1, 600, 40_000, apart)], np.inf)
    assert fit.link is LinkStatus.LINKED
    assert fit.same is not None
    assert fit.logit is not None
    assert fit.same.sum() == pytest.approx(600, rel=0.15)
    assert GRID.centres_s()[int(np.argmax(fit.g1 / fit.g0))] == pytest.approx(40, rel=0.3)
    assert (np.diff(fit.logit) <= 1e-9).all()
    assert fit.g1.sum() == pytest.approx(1.0)


def test_log_odds_by_distance_are_those_of_the_law() -> None:
    """Two Gaussians of one width: log f1 / f0 is linear; where there are pairs, it is found."""
    (fit,) = fit_mixture([drawn(2, 3000, 60_000, 0.2)], np.inf)
    assert fit.logit is not None
    prior = np.log(3000 / 60_000)
    wanted = ((CENTRES - 0.7) ** 2 - (CENTRES - 0.5) ** 2) / (2 * 0.06**2) + prior
    between = (CENTRES > 0.42) & (CENTRES < 0.56)  # where most pairs of one person lie
    assert np.abs(fit.logit - wanted)[between].mean() < 0.6


def test_a_pair_that_is_not_linked_gets_no_odds() -> None:
    found = drawn(3, 0, 20_000, 0.2)
    rng = np.random.default_rng(0)
    found.buddy_times = rng.uniform(1, 2000, 150)
    found.buddy_distances = rng.uniform(0.5, 0.6, 150)
    (fit,) = fit_mixture([found], np.inf)
    assert fit.link is LinkStatus.NOT_LINKED
    assert fit.same is None
    assert fit.logit is None


def test_the_m_step_is_the_logistic_regression() -> None:
    """At convergence no intercept and no slope explains "same" better than those found."""
    part = drawn(4, 2000, 20_000, 0.3)
    (fit,) = fit_mixture([part], np.inf)
    assert fit.same is not None
    assert fit.logit is not None
    same, total = fit.same.sum(axis=1), part.histogram.sum(axis=1)

    def loss(theta: np.ndarray) -> float:
        eta = theta[0] + theta[1] * CENTRES + theta[2] * CENTRES**2
        return float((total * np.logaddexp(0, eta) - same * eta).sum())

    best = minimize(loss, np.zeros(3), method="BFGS").fun
    ours = float((total * np.logaddexp(0, fit.logit) - same * fit.logit).sum())
    assert ours == pytest.approx(best, rel=0.01)
