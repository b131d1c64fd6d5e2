"""Alpha of equation 1, chosen for the ranking P_v P_t."""

from __future__ import annotations

import numpy as np

from stgal_stream.core.calibration.mixture import Mixture
from stgal_stream.core.calibration.pair_histogram import WindowHistograms
from stgal_stream.core.calibration.time_grid import TimeGrid
from stgal_stream.types import Floats

_N_SCORE_BINS = 4096  # a ranking of histogram cells in so many steps: 0.02 % of its range
# Pairs of the same two visits are correlated, so the posterior is too sure of distances. Chosen on
# seed 1 of tools/worlds and on one real clock (tools/measure_alpha.py): the whole of it ranks worse
# where embeddings are weak, half of it where they are good.
_SHARE_OF_ALPHA = 0.7
_SEARCH = ((50.0, 15), (1.6, 9))  # a span (as a factor) and steps: coarse, then about the best
_LEAST_P_TRAVEL = 1e-12  # where P_t is 0, its logarithm is far below all others


def choose_alpha(
    fitted: Mixture | None, counts: WindowHistograms, epsilon_s: float, grid: TimeGrid
) -> float:
    """The alpha under which the window's pairs, ranked by P_v P_t, have the highest expected
    average precision, with the posterior as soft labels.

    It is searched for directly. A slope read off log f1 / f0 ranks worse: the posterior knows more
    than a ranking needs (a slope that changes with distance, priors), and P_t is no likelihood
    ratio. Where nothing is fitted it is one over the standard deviation of distances.
    """
    if fitted is None:
        return 1.0 / counts.distance_sd
    log_travel = np.log(np.maximum(grid.share_within(fitted.g1, epsilon_s), _LEAST_P_TRAVEL))
    at = fitted.cells()
    d = (fitted.distance[at] + 0.5) * counts.width
    t = log_travel[fitted.pair[at], fitted.time[at]]
    same, total = fitted.same[at], fitted.total[at]
    found = 1.0
    for span, n in _SEARCH:
        tried = found * np.geomspace(1 / span, span, n)
        marks = [average_precision(t - a / counts.distance_sd * d, same, total) for a in tried]
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
