"""Alpha of equation 1, chosen for the ranking P_v P_t."""

from __future__ import annotations

import numpy as np

from stgal_stream.core.calibration.mixture import Fit
from stgal_stream.core.calibration.pair_histogram import N_DISTANCE_BINS, WindowHistograms
from stgal_stream.core.calibration.time_grid import TimeGrid
from stgal_stream.types import Floats

_N_SCORE_BINS = 4096  # a ranking of histogram cells in so many steps: 0.02 % of its range
# What comes out is halved. Pairs of the same two visits are correlated, so the posterior is too
# sure of distances. The best share was 0.35 to 0.7 on one real clock (tools/measure_alpha.py).
_SHARE_OF_ALPHA = 0.5
_SEARCH = ((50.0, 15), (1.6, 9))  # a span (as a factor) and steps: coarse, then about the best
_LEAST_P_TRAVEL = 1e-12  # where P_t is 0, its logarithm is far below all others


def choose_alpha(
    linked: list[Fit], counts: WindowHistograms, epsilon_s: float, grid: TimeGrid
) -> float:
    """The alpha under which the window's pairs, ranked by P_v P_t, have the highest expected
    average precision, with the posterior as soft labels.

    It is searched for directly. A slope read off log f1 / f0 ranks worse: the posterior knows more
    than a ranking needs (a slope that changes with distance, priors), and P_t is no likelihood
    ratio. Without a linked camera pair it is one over the standard deviation of distances.
    """
    centres = (np.arange(N_DISTANCE_BINS) + 0.5) * counts.width
    if not linked:
        return 1.0 / counts.distance_sd
    p_travel = grid.share_within(np.stack([f.g1 for f in linked]), epsilon_s)
    log_travel = np.log(np.maximum(p_travel, _LEAST_P_TRAVEL))
    same = np.stack([f.same for f in linked if f.same is not None])
    total = np.stack([f.total for f in linked if f.total is not None])
    cells = np.flatnonzero(total.ravel() > 0)
    d = np.broadcast_to(centres[None, :, None], total.shape).ravel()[cells]
    t = np.broadcast_to(log_travel[:, None, :], total.shape).ravel()[cells]
    weights = same.ravel()[cells], total.ravel()[cells]
    found = 1.0
    for span, n in _SEARCH:
        tried = found * np.geomspace(1 / span, span, n)
        marks = [average_precision(t - a / counts.distance_sd * d, *weights) for a in tried]
        found = float(tried[int(np.argmax(marks))])
    return _SHARE_OF_ALPHA * found / counts.distance_sd


def average_precision(scores: Floats, same: Floats, total: Floats) -> float:
    """Expected average precision of a ranking of N cells that hold ``same`` (N,) right pairs among
    ``total`` (N,), the highest of the ``scores`` (N,) first."""
    low, high = float(scores.min()), float(scores.max())
    bins = ((high - scores) * ((_N_SCORE_BINS - 1) / max(high - low, 1e-12))).astype(np.int64)
    right = np.bincount(bins, same, minlength=_N_SCORE_BINS)
    seen = np.maximum(np.cumsum(np.bincount(bins, total, minlength=_N_SCORE_BINS)), 1e-12)
    return float((right * np.cumsum(right) / seen).sum() / max(right.sum(), 1e-12))
