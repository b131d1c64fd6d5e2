"""Rules that turn distance and travel time into a score, beside each other.

The law: every rule that uses time is given the same travel times, and scores candidates of the
query's own camera 0: travel times are between cameras, and the protocol counts no match there.
Scores are logarithms where only their order matters; minus infinity is a probability of 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stgal_stream.core.calibration import Calibration, PairModel, camera_pair

Floats = NDArray[np.float64]
Densities = Mapping[tuple[str, str], Floats]

_ST_REID_GAMMA = 5.0
_ST_REID_LAMBDA_TIME = 2.0


@dataclass(frozen=True, slots=True)
class Candidates:
    """Candidates of one camera pair: distances (Q, G), cosine similarities (Q, G) and travel times
    in seconds (Q, G)."""

    first: str
    second: str
    distance: Floats
    cosine: Floats
    time_s: Floats


Rule = Callable[[Candidates], Floats]


def rules(paper: Calibration, calibrated: Calibration, true_times: Densities) -> dict[str, Rule]:
    """The rows of the table, by name. ``true_times`` are probabilities over the time grid by camera
    pair, from labels: the oracle's alone."""

    def p_v(c: Candidates) -> Floats:
        """Equation 1; its order is that of the distance, whatever alpha."""
        return -c.distance

    def p_a_paper(c: Candidates) -> Floats:
        """Equation 5 with the paper's constants."""
        model = _model(paper, c)
        share = np.zeros(c.time_s.shape) if model is None else _share(model, c.time_s)
        return _log(share) - paper.alpha * c.distance

    def p_a_calibrated(c: Candidates) -> Floats:
        """Equation 5 with alpha, epsilon and travel times from the stream."""
        model = _model(calibrated, c)
        if model is None or model.p_travel is None:
            return np.full(c.distance.shape, -np.inf)
        table = _log(model.p_travel)[calibrated.grid.bins(c.time_s)]
        return table - calibrated.alpha * c.distance

    def tfusion(c: Candidates) -> Floats:
        """Bayes fusion (Lv et al. 2018, "Transfer Learning of Spatial-Temporal Patterns"):
        P_v P(time, cameras | same) / P(time, cameras)."""
        model = _model(calibrated, c)
        if model is None or model.log_time_ratio is None:
            return np.full(c.distance.shape, -np.inf)
        ratio = model.log_time_ratio[calibrated.grid.bins(c.time_s)] + model.log_prior_odds
        return ratio - calibrated.alpha * c.distance

    def st_reid(c: Candidates) -> Floats:
        """Logistic smoothing (Wang et al. 2019, "Spatial-Temporal Person Re-identification"):
        1 / (1 + exp(-5 cos)) x 1 / (1 + 2 exp(-5 p)), p the travel-time density over its maximum.
        """
        model = _model(calibrated, c)
        known = model is not None and model.p_travel is not None
        table = model.p_travel if known and model is not None else None
        p = np.zeros(c.time_s.shape)
        if table is not None:
            p = (table / table.max())[calibrated.grid.bins(c.time_s)]
        if c.first == c.second:
            return np.zeros(c.distance.shape)
        seen = 1 / (1 + np.exp(-_ST_REID_GAMMA * c.cosine))
        return np.asarray(seen / (1 + _ST_REID_LAMBDA_TIME * np.exp(-_ST_REID_GAMMA * p)))

    def p_a_oracle(c: Candidates) -> Floats:
        """Equation 5 with travel times from the labels and the calibrated alpha."""
        density = true_times.get(camera_pair(c.first, c.second))
        if density is None or c.first == c.second:
            return np.full(c.distance.shape, -np.inf)
        shares = calibrated.grid.share_within(density, calibrated.epsilon_s)
        return _log(shares)[calibrated.grid.bins(c.time_s)] - calibrated.alpha * c.distance

    found: tuple[Rule, ...] = (p_v, p_a_paper, p_a_calibrated, tfusion, st_reid, p_a_oracle)
    return {rule.__name__: rule for rule in found}


def _model(calibration: Calibration, c: Candidates) -> PairModel | None:
    if c.first == c.second:
        return None
    model = calibration.pairs.get(camera_pair(c.first, c.second))
    return model if model is not None and model.scores else None


def _share(model: PairModel, times_s: Floats) -> Floats:
    return model.distribution.probability(times_s)


def _log(values: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(values))
