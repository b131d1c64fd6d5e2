"""The mixture of same-person and different-person pairs, fitted without a label.

The law: given which of the two a pair is, its distance and its travel time are independent. So a
camera pair's histogram (distance x travel time) is pi f1 g1 + (1 - pi) f0 g0, and expectation
maximisation finds the parts. Two views alone do not fix pi: whatever f1 may borrow from f0, pi can
give back. So log f1 / f0 is a quadratic in distance, shared by all camera pairs of a kind, with f0
left free (a density-ratio model: its M-step is a logistic regression); the travel times are free.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from stgal_stream.core.time_grid import TimeGrid, smoothed

CameraPair = tuple[str, str]
Floats = NDArray[np.float64]

N_DISTANCE_BINS = 96
LOG_ODDS_LIMIT = 8.0
MIN_BUDDIES = 12
_LINKED_SIGMAS = 6.0
_OVERLAP_CHANCE = 1e-5
_STEPS = 40
_NEWTON_STEPS = 3
_RIDGE = 1e-6
_LOGIT_LIMIT = 40.0


class Verdict(StrEnum):
    """What is known about a camera pair: whether people go from one to the other."""

    LINKED = "linked"
    NOT_LINKED = "not_linked"
    TOO_LITTLE_DATA = "too_little_data"


@dataclass(slots=True)
class PairCounts:
    """All pairs of one camera pair in the window, as a histogram (distance x travel time), and its
    best buddies by P_v: their distances and travel times (seconds). How many of all pairs, and of
    the best buddies, were in view at one time as tracklets: where long tracks are cut, that tells
    views that overlap better than whole tracks do, which overlap by chance too."""

    pair: CameraPair
    histogram: Floats
    buddy_distances: Floats
    buddy_times: Floats
    n_at_once: int = 0
    n_buddies_at_once: int = 0

    @property
    def at_once(self) -> tuple[int, float]:
        """How many best buddies were in view at one time, and the chance of it for any pair."""
        n = float(self.histogram.sum())
        return self.n_buddies_at_once, (self.n_at_once + 1.0) / (n + 1.0)


@dataclass(slots=True)
class Fit:
    """The mixture of one camera pair: verdict and densities g0, g1 over the time grid; ``logit``
    is the log odds of being one person by distance alone (prior included); ``same`` the expected
    histogram of same-person pairs and ``total`` that of all. Without a link the three are None."""

    verdict: Verdict
    g0: Floats
    g1: Floats
    logit: Floats | None = None
    same: Floats | None = None
    total: Floats | None = None


def fit_mixture(counts: list[PairCounts], width: float, reach: float) -> list[Fit]:
    """Expectation maximisation over camera pairs of one kind (across cameras, or within one).

    ``width`` is that of a distance bin, ``reach`` the distance under which hardly any known
    negative lies. Camera pairs that are not linked are told so and left out.
    """
    fits = []
    for part in counts:
        g0 = smoothed(part.histogram.sum(axis=0), np.full(part.histogram.shape[1], 1.0))
        verdict = link_verdict(part.buddy_times, g0, part.at_once)
        fits.append(Fit(verdict, g0, _buddy_density(part, g0, reach)))
    linked = [k for k, fit in enumerate(fits) if fit.verdict is Verdict.LINKED]
    if linked:
        _maximise([counts[k] for k in linked], [fits[k] for k in linked])
    return fits


def _maximise(counts: list[PairCounts], fits: list[Fit]) -> None:
    table = np.stack([c.histogram for c in counts])
    by_distance = table.sum(axis=2)
    total = by_distance.sum(axis=1)
    phi = _quadratic(by_distance)
    g0 = np.stack([fit.g0 for fit in fits])
    g1 = np.stack([fit.g1 for fit in fits])
    theta = np.array([-1.5, 0.0])
    prior = np.clip(np.array([len(c.buddy_times) for c in counts]) / total, 1e-6, 0.2)
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
        fit.logit = falling(logit[k], by_distance[k] + 1e-6)


def _quadratic(by_distance: Floats) -> Floats:
    """(n, 2) the regressors z and z^2, z the distance in typical standard deviations."""
    n = by_distance.shape[1]
    x = (np.arange(n) + 0.5) / n
    total = by_distance.sum(axis=1)
    mean = by_distance @ x / total
    spread = np.sqrt((by_distance * (x[None, :] - mean[:, None]) ** 2).sum(axis=1) / total)
    z = (x - np.median(mean)) / max(float(np.median(spread)), 1.0 / n)
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


def falling(values: Floats, weights: Floats) -> Floats:
    """The closest sequence that never rises (pool adjacent violators, weighted least squares)."""
    blocks: list[list[float]] = []  # mean, weight, length
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        blocks.append([value, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] < blocks[-1][0]:
            mean, heavy, length = blocks.pop()
            last = blocks[-1]
            last[0] = (last[0] * last[1] + mean * heavy) / (last[1] + heavy)
            last[1] += heavy
            last[2] += length
    return np.repeat([b[0] for b in blocks], [int(b[2]) for b in blocks])


def _buddy_density(part: PairCounts, base: Floats, reach: float) -> Floats:
    """Where the search starts: the travel times of the best buddies, of the matched ones
    (equation 3) where there are enough."""
    matched = part.buddy_distances < reach
    times = part.buddy_times[matched] if matched.sum() >= MIN_BUDDIES else part.buddy_times
    grid = TimeGrid(n=len(base))
    return smoothed(np.bincount(grid.bins(times), minlength=grid.n).astype(np.float64), base)


def link_verdict(
    buddy_times: Floats, background: Floats, at_once: tuple[int, float] = (0, 1.0)
) -> Verdict:
    """A chi-squared test of the best buddies' travel times (seconds) against all pairs'
    ``background`` over the time grid: where cameras share no people, or embeddings are noise, the
    two have one law.

    The test is repeated at every calibration and for every camera pair, so it asks for much: six
    standard deviations. Cameras that share people exceed it many times over. Views that overlap
    show at one moment alone, which is therefore asked by itself, exactly: ``at_once`` is how many
    best buddies were in view at one time, and the chance of it.
    """
    n = len(buddy_times)
    if n < MIN_BUDDIES:
        return Verdict.TOO_LITTLE_DATA
    grid = TimeGrid(n=len(background))
    observed = np.bincount(grid.bins(buddy_times), minlength=grid.n).astype(np.float64)
    if _binomial_tail(at_once[0], n, at_once[1]) < _OVERLAP_CHANCE:
        return Verdict.LINKED
    expected = background * n
    groups = np.minimum(np.cumsum(expected) // 4, max(1, n // 4 - 1)).astype(int)
    o, e = np.bincount(groups, observed), np.bincount(groups, expected)
    o, e = o[e > 0], e[e > 0]
    statistic = float(((o - e) ** 2 / e).sum())
    freedom = max(1, len(e) - 1)
    limit = freedom + _LINKED_SIGMAS * np.sqrt(2.0 * freedom)
    return Verdict.LINKED if statistic > limit else Verdict.NOT_LINKED


def _binomial_tail(k: int, n: int, p: float) -> float:
    """The chance of ``k`` or more of ``n`` where each has probability ``p``."""
    if k <= n * p:
        return 1.0
    i = np.arange(k, n + 1)
    log_choose = [math.lgamma(n + 1) - math.lgamma(j + 1) - math.lgamma(n - j + 1) for j in i]
    return float(np.exp(log_choose + i * math.log(p) + (n - i) * math.log1p(-p)).sum())
