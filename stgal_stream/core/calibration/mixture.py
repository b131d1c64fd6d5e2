"""The mixture of same-person and different-person pairs, fitted without a label.

Model: given which of the two a pair is, its distance and its travel time are independent. So a
camera pair's histogram (distance x travel time) is pi f1 g1 + (1 - pi) f0 g0, and expectation
maximisation finds the parts.

Two views alone do not identify pi: a part of f1 can be absorbed into f0 by changing pi. So
log f1 / f0 is a quadratic in distance, shared by all camera pairs of a kind, and f0 is free (a
density-ratio model; its M-step is a logistic regression). The densities of travel time are free.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stgal_stream.core.calibration.link_test import MIN_BUDDIES, LinkStatus, link_test
from stgal_stream.core.calibration.pair_histogram import PairHistogram
from stgal_stream.core.calibration.time_grid import TimeGrid, smoothed
from stgal_stream.core.measures.isotonic import isotonic_decreasing
from stgal_stream.types import Floats

_STEPS = 40  # of EM; it has not always converged by then (a known limit, see docs/accuracy.md)
_NEWTON_STEPS = 3  # in each M-step: a generalised EM needs progress, not the optimum
_RIDGE = 1e-6  # keeps the normal equations solvable where one distance bin holds everything
_LOGIT_LIMIT = 40.0  # exp(40) is still far from overflow
_START_THETA = (-1.5, 0.0)  # closer pairs are likelier to be one person
_START_PRIOR = (1e-6, 0.2)  # limits of the first guess of pi: best buddies over all pairs


@dataclass(slots=True)
class Fit:
    """The mixture of one camera pair: its link, and densities g0, g1 over the time grid.

    ``logit`` is the log odds of one person by distance alone (prior included), ``same`` the
    expected histogram of same-person pairs and ``total`` that of all. Without a link the three are
    None.
    """

    link: LinkStatus
    g0: Floats
    g1: Floats
    logit: Floats | None = None
    same: Floats | None = None
    total: Floats | None = None


def fit_mixture(counts: list[PairHistogram], match_distance: float) -> list[Fit]:
    """Expectation maximisation over camera pairs of one kind (across cameras, or within one).

    ``match_distance`` is that under which hardly any known negative lies. Camera pairs that are not
    linked are marked so and left out.
    """
    fits = []
    for part in counts:
        g0 = smoothed(part.histogram.sum(axis=0), np.full(part.histogram.shape[1], 1.0))
        link = link_test(part.buddy_times, g0, part.simultaneous)
        fits.append(Fit(link, g0, _buddy_density(part, g0, match_distance)))
    linked = [k for k, fit in enumerate(fits) if fit.link is LinkStatus.LINKED]
    if linked:
        _maximise([counts[k] for k in linked], [fits[k] for k in linked])
    return fits


def _maximise(counts: list[PairHistogram], fits: list[Fit]) -> None:
    table = np.stack([c.histogram for c in counts])
    by_distance = table.sum(axis=2)
    total = by_distance.sum(axis=1)
    phi = _quadratic(by_distance)
    g0 = np.stack([fit.g0 for fit in fits])
    g1 = np.stack([fit.g1 for fit in fits])
    theta = np.array(_START_THETA)
    prior = np.clip(np.array([len(c.buddy_times) for c in counts]) / total, *_START_PRIOR)
    f0 = by_distance / total[:, None]
    intercept = np.log(prior / (1 - prior)) - np.log((f0 * np.exp(phi @ theta)).sum(axis=1))
    same = np.zeros_like(table)
    for _ in range(_STEPS):
        logit = np.clip(intercept[:, None] + phi @ theta, -_LOGIT_LIMIT, _LOGIT_LIMIT)
        odds = np.exp(logit)[:, :, None] * (g1 / g0)[:, None, :]
        same = table * (odds / (1 + odds))
        g1 = np.stack([smoothed(row, g0[k]) for k, row in enumerate(same.sum(axis=1))])
        intercept, theta = _regress(phi, same.sum(axis=2), by_distance, intercept, theta)
    logit = np.clip(intercept[:, None] + phi @ theta, -_LOGIT_LIMIT, _LOGIT_LIMIT)
    for k, fit in enumerate(fits):
        fit.g1, fit.same, fit.total = g1[k], same[k], table[k]
        fit.logit = isotonic_decreasing(logit[k], by_distance[k] + 1e-6)


def _quadratic(by_distance: Floats) -> Floats:
    """(n, 2) the regressors z and z^2, z the distance in typical standard deviations."""
    n = by_distance.shape[1]
    x = (np.arange(n) + 0.5) / n
    total = by_distance.sum(axis=1)
    mean = by_distance @ x / total
    deviation = np.sqrt((by_distance * (x[None, :] - mean[:, None]) ** 2).sum(axis=1) / total)
    z = (x - np.median(mean)) / max(float(np.median(deviation)), 1.0 / n)
    return np.stack([z, z * z], axis=1)


def _regress(
    phi: Floats, same: Floats, total: Floats, intercept: Floats, theta: Floats
) -> tuple[Floats, Floats]:
    """Newton steps of the logistic regression of "same" on distance, with an intercept for each
    camera pair: its normal equations are an arrow, solved by eliminating the intercepts."""
    for _ in range(_NEWTON_STEPS):
        eta = np.clip(intercept[:, None] + phi @ theta, -_LOGIT_LIMIT, _LOGIT_LIMIT)
        p = 1 / (1 + np.exp(-eta))
        weight = total * p * (1 - p) + 1e-12
        rest = same - total * p
        diagonal, border = weight.sum(axis=1), weight @ phi
        inner = phi.T @ (weight.sum(axis=0)[:, None] * phi) + _RIDGE * np.eye(len(theta))
        slim = border / diagonal[:, None]
        gradient = rest.sum(axis=0) @ phi - _RIDGE * theta - slim.T @ rest.sum(axis=1)
        step = np.clip(np.linalg.solve(inner - slim.T @ border, gradient), -1.0, 1.0)
        theta = theta + step
        shift = (rest.sum(axis=1) - border @ step) / diagonal
        intercept = intercept + np.clip(shift, -2.0, 2.0)
    return intercept, theta


def _buddy_density(part: PairHistogram, base: Floats, match_distance: float) -> Floats:
    """Where the search starts: the travel times of the best buddies, of the matched ones
    (equation 3) where there are enough."""
    matched = part.buddy_distances < match_distance
    times = part.buddy_times[matched] if matched.sum() >= MIN_BUDDIES else part.buddy_times
    grid = TimeGrid(n=len(base))
    return smoothed(np.bincount(grid.bins(times), minlength=grid.n).astype(np.float64), base)
