"""Alpha of equation 1: what a distance is worth, beside a travel time."""

from __future__ import annotations

import numpy as np

from stgal_stream.core.calibration.mixture import Mixture
from stgal_stream.core.calibration.pair_histogram import WindowHistograms
from stgal_stream.core.measures.log_odds import probability
from stgal_stream.types import Floats

# A window's travel times say less than they could (a few hundred pairs, smoothed), so distance
# would count for too much. Chosen on seed 1 of tools/worlds for another alpha, and kept: from 0.45
# to 0.75 the means of the movements, two seeds, change by 0.003. At worst rank-1 asks for less, mAP
# on Market-1501's clock for more.
_SHARE_OF_ALPHA = 0.7
_LEAST_SLOPE = 0.02  # of a standard deviation of distances: P_v never falls with likeness
_STEPS = 50  # of Newton's method; five or six are enough nearly always
_TOLERANCE = 1e-9  # of the likelihood


def choose_alpha(fitted: Mixture | None, counts: WindowHistograms) -> float:
    """The alpha under which P_v P_t comes closest to the posterior: the slope of the logistic
    regression of "one person" on the distance, given the log odds by the travel time.

    Where nothing is fitted it is one over the standard deviation of distances.
    """
    if fitted is None:
        return 1.0 / counts.distance_sd
    at = fitted.cells()
    width = counts.width / counts.distance_sd
    d = np.asarray((fitted.distance[at] + 0.5) * width, np.float64)
    by_time = fitted.log_odds_by_time()[fitted.pair[at], fitted.time[at]]
    slope = -logistic_slope(d, by_time, fitted.same[at], fitted.total[at])
    return _SHARE_OF_ALPHA * max(slope, _LEAST_SLOPE) / counts.distance_sd


def logistic_slope(x: Floats, given: Floats, right: Floats, total: Floats) -> float:
    """The b under which the log odds ``given`` (N,) + a + b ``x`` (N,) fit best to ``right`` (N,)
    among ``total`` (N,), by Newton's method; steps are halved as long as they lead down."""
    middle = float(right @ x / max(right.sum(), 1e-12))
    columns = np.stack([np.ones_like(x), x - middle])

    def fit(found: Floats) -> float:
        odds = given + found @ columns
        return float(right @ odds - total @ np.logaddexp(0.0, odds))

    found = np.zeros(2)
    reached = fit(found)
    for _ in range(_STEPS):
        p = probability(given + found @ columns)
        uphill = columns @ (right - total * p)
        bend = (columns * (total * p * (1.0 - p))) @ columns.T + 1e-9 * np.eye(2)
        step, before = np.linalg.solve(bend, uphill), reached
        while (reached := fit(found + step)) < before:
            step = step / 2.0
        found = found + step
        if reached - before <= _TOLERANCE * abs(before):
            break
    return float(found[1])
