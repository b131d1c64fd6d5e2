"""The mixture of same-person and different-person pairs, fitted without a label.

The law: given which of the two a pair is, its distance and its travel time are independent. So a
camera pair's histogram (distance x travel time) is pi f1 g1 + (1 - pi) f0 g0, and expectation
maximisation finds the five.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from stgal_stream.core.time_grid import TimeGrid, smoothed

CameraPair = tuple[str, str]
Floats = NDArray[np.float64]

N_DISTANCE_BINS = 96
LOG_ODDS_LIMIT = 8.0
_MIN_BUDDIES = 12
_LINKED_SIGMAS = 6.0
_TILT_STEPS = 20
_FREE_STEPS = 30


class Verdict(StrEnum):
    """What is known about a camera pair: whether people go from one to the other."""

    LINKED = "linked"
    NOT_LINKED = "not_linked"
    TOO_LITTLE_DATA = "too_little_data"


@dataclass(slots=True)
class PairCounts:
    """All pairs of one camera pair in the window, as a histogram, and its best buddies by P_v."""

    pair: CameraPair
    histogram: Floats
    buddy_distances: Floats
    buddy_times: Floats


@dataclass(slots=True)
class Fit:
    """The mixture of one camera pair: prior, log f1 / f0 by distance, travel-time densities."""

    verdict: Verdict
    prior: float
    log_distance_ratio: Floats
    g0: Floats
    g1: Floats


def fit_mixture(counts: list[PairCounts], width: float, reach: float) -> tuple[float, list[Fit]]:
    """Expectation maximisation over all camera pairs; alpha in 1 / distance.

    First f1 = f0 tilted by exp(-alpha d), which one number describes and little data finds. From
    there f0 and f1 are let free, under the one condition that f1 / f0 falls with distance: where
    embeddings are good, a tilt of f0 has no mass where the same person's distances lie.
    """
    if not counts:
        return 0.0, []
    table = np.stack([c.histogram for c in counts])
    centres: Floats = (np.arange(N_DISTANCE_BINS, dtype=np.float64) + 0.5) * width
    total = np.maximum(table.sum(axis=(1, 2)), 1)
    by_distance, by_time = table.sum(axis=2), table.sum(axis=1)
    f0 = by_distance + 1e-9
    f0 /= f0.sum(axis=1, keepdims=True)
    g0 = np.stack([smoothed(row, np.full(len(row), 1.0 / len(row))) for row in by_time])
    g1 = np.stack([_buddy_density(c, g0[k], reach) for k, c in enumerate(counts)])
    verdicts = [_verdict(c, g0[k]) for k, c in enumerate(counts)]
    use = np.array([v is Verdict.LINKED for v in verdicts])
    prior = np.array([len(c.buddy_times) for c in counts]) / total
    prior = np.clip(prior, 1e-6, 0.2)
    spread = float((f0.mean(0) * centres).sum()) - _low_quantile(f0.mean(0), centres)
    alpha = 3.0 / max(spread, 1e-9)
    ratio = _tilt(f0, centres, alpha)
    for step in range(_TILT_STEPS + _FREE_STEPS if use.any() else 0):
        odds = (prior / (1 - prior))[:, None, None] * np.exp(ratio)[:, :, None]
        odds = odds * (g1 / g0)[:, None, :]
        same = table * (odds / (1 + odds))
        prior = np.clip(same.sum(axis=(1, 2)) / total, 1e-7, 0.5)
        g1 = np.stack([smoothed(row, g0[k]) for k, row in enumerate(same.sum(axis=1))])
        same_d = same.sum(axis=2)
        if step < _TILT_STEPS:
            alpha = _solve_alpha(f0[use], centres, same_d[use], alpha)
            ratio = _tilt(f0, centres, alpha)
        else:
            ratio = _free_ratio(same_d, by_distance - same_d, use)
    if use.any():
        alpha = _slope(ratio[use], same_d[use], (by_distance - same_d)[use], centres)
    return alpha, [
        Fit(v, float(p), r, a, b)
        for v, p, r, a, b in zip(verdicts, prior, ratio, g0, g1, strict=True)
    ]


def _tilt(f0: Floats, centres: Floats, alpha: float) -> Floats:
    """log f1 / f0 of the tilt, (K, n distance bins)."""
    z = (f0 * np.exp(-alpha * (centres - centres[0]))).sum(axis=1)
    tilt: Floats = -alpha * (centres - centres[0])[None, :] - np.log(z)[:, None]
    return tilt


def _free_ratio(same: Floats, different: Floats, use: NDArray[np.bool_]) -> Floats:
    """log f1 / f0 by camera pair, from expected counts; where a camera pair has few pairs of one
    person, what all have together stands in."""
    pooled = _spread(same[use].sum(axis=0))
    pooled /= pooled.sum()
    rows = []
    for mine, others in zip(same, different, strict=True):
        f1 = _spread(mine) + 20.0 * pooled
        f0 = _spread(others) + 1e-3
        ratio = np.log((f1 / f1.sum() + 1e-9) / (f0 / f0.sum() + 1e-9))
        rows.append(_falling(ratio, mine + others + 1e-6))
    return np.clip(np.stack(rows), -2 * LOG_ODDS_LIMIT, 2 * LOG_ODDS_LIMIT)


def _spread(counts: Floats) -> Floats:
    """Counts over distance, smoothed over neighbouring bins."""
    kernel = np.array([0.06, 0.24, 0.4, 0.24, 0.06])
    return np.convolve(counts, kernel, mode="same")


def _falling(values: Floats, weights: Floats) -> Floats:
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


def _slope(ratio: Floats, same: Floats, different: Floats, centres: Floats) -> float:
    """How fast log f1 / f0 falls with distance, where both sides have pairs."""
    f1 = same / np.maximum(same.sum(axis=1, keepdims=True), 1e-9)
    f0 = different / np.maximum(different.sum(axis=1, keepdims=True), 1e-9)
    weight = (0.5 * f1 + 0.5 * f0) * same.sum(axis=1, keepdims=True)
    total = weight.sum(axis=1, keepdims=True) + 1e-12
    d = centres[None, :] - (weight * centres).sum(axis=1, keepdims=True) / total
    r = ratio - (weight * ratio).sum(axis=1, keepdims=True) / total
    spread = float((weight * d * d).sum())
    return max(0.0, -float((weight * d * r).sum()) / spread) if spread > 0 else 0.0


def _low_quantile(f0: Floats, centres: Floats) -> float:
    return float(centres[np.searchsorted(np.cumsum(f0), 0.005)])


def _solve_alpha(f0: Floats, centres: Floats, same: Floats, start: float) -> float:
    """The tilt under which the mean distance of f1 is that of the same-person pairs found."""
    weight = same.sum(axis=1)
    wanted = float((same * centres).sum())
    low, high = 0.0, max(4.0 * start, 1e-6)
    for _ in range(40):
        middle = 0.5 * (low + high)
        tilted = f0 * np.exp(-middle * (centres - centres[0]))[None, :]
        mean = (tilted * centres).sum(axis=1) / tilted.sum(axis=1)
        if float((weight * mean).sum()) > wanted:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def _buddy_density(part: PairCounts, base: Floats, reach: float) -> Floats:
    """Where the search starts: the travel times of the best buddies, of the matched ones
    (equation 3) where there are enough."""
    matched = part.buddy_distances < reach
    times = part.buddy_times[matched] if matched.sum() >= _MIN_BUDDIES else part.buddy_times
    grid = TimeGrid(n=len(base))
    return smoothed(np.bincount(grid.bins(times), minlength=grid.n).astype(np.float64), base)


def _verdict(part: PairCounts, background: Floats) -> Verdict:
    """A chi-squared test of the best buddies' travel times against all pairs': where cameras share
    no people, or embeddings are noise, the two have one law.

    The test is repeated at every calibration and for every camera pair, so it asks for much: six
    standard deviations. Cameras that share people exceed it many times over.
    """
    n = len(part.buddy_times)
    if n < _MIN_BUDDIES:
        return Verdict.TOO_LITTLE_DATA
    grid = TimeGrid(n=len(background))
    observed = np.bincount(grid.bins(part.buddy_times), minlength=grid.n).astype(np.float64)
    expected = background * n
    groups = np.minimum(np.cumsum(expected) // 4, max(1, n // 4 - 1)).astype(int)
    o, e = np.bincount(groups, observed), np.bincount(groups, expected)
    o, e = o[e > 0], e[e > 0]
    statistic = float(((o - e) ** 2 / e).sum())
    freedom = max(1, len(e) - 1)
    limit = freedom + _LINKED_SIGMAS * np.sqrt(2.0 * freedom)
    return Verdict.LINKED if statistic > limit else Verdict.NOT_LINKED
