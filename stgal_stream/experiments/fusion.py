"""Rules that turn distance and travel time into a score, beside each other.

Law: every rule that uses time is given the same travel times, and scores candidates of the
query's own camera 0: travel times are between cameras, and the protocol counts no match there.
Scores are logarithms where only their order matters; minus infinity is a probability of 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stgal_stream.core.calibration.model import Calibration, PairModel
from stgal_stream.types import camera_pair

Floats = NDArray[np.float64]
PTravel = Mapping[tuple[str, str], Floats]

_ST_REID_GAMMA = 5.0
_ST_REID_LAMBDA_TIME = 2.0


@dataclass(frozen=True, slots=True)
class Candidates:
    """Candidates of one camera pair, each (Q, G): distances of the embeddings as they are, their
    cosine similarities, distances as the calibration sees them, and travel times in seconds."""

    first: str
    second: str
    distance: Floats
    cosine: Floats
    seen: Floats
    time_s: Floats


Rule = Callable[[Candidates], Floats]


@dataclass(frozen=True)
class Fusion:
    """The rows of the table, a method each. ``true_p_travel`` are P_t over the time grid by camera
    pair, from labels: the oracle's alone."""

    paper: Calibration
    calibrated: Calibration
    true_p_travel: PTravel

    def rules(self) -> dict[str, Rule]:
        """The methods by the names that the results bear."""
        found = (
            self.p_v,
            self.p_a_paper,
            self.p_a_calibrated,
            self.tfusion,
            self.st_reid,
            self.p_a_oracle,
        )
        return {rule.__name__: rule for rule in found}

    def p_v(self, c: Candidates) -> Floats:
        """Equation 1; its order is that of the distance, whatever alpha."""
        return -c.distance

    def p_a_paper(self, c: Candidates) -> Floats:
        """Equation 5 with the paper's constants."""
        model = _model(self.paper, c)
        if model is None:
            return np.full(c.distance.shape, -np.inf)
        return _log(model.distribution.probability(c.time_s)) - self.paper.alpha * c.distance

    def p_a_calibrated(self, c: Candidates) -> Floats:
        """Equation 5 with alpha and P_t from the stream; P_v where the stream tells no times."""
        if not self.calibrated.has_learned:
            return self.p_v(c)
        model = _model(self.calibrated, c)
        if model is None or model.p_travel is None:
            return np.full(c.distance.shape, -np.inf)
        table = _log(model.p_travel)[self.calibrated.grid.bins(c.time_s)]
        return table - self.calibrated.alpha * c.seen

    def tfusion(self, c: Candidates) -> Floats:
        """Bayes fusion (Lv et al. 2018, "Transfer Learning of Spatial-Temporal Patterns"):
        P_v P(time, cameras | same) / P(time, cameras)."""
        model = _model(self.calibrated, c)
        if model is None or model.log_time_ratio is None:
            return np.full(c.distance.shape, -np.inf)
        ratio = model.log_time_ratio[self.calibrated.grid.bins(c.time_s)] + model.log_prior_odds
        return ratio - self.calibrated.alpha * c.seen

    def st_reid(self, c: Candidates) -> Floats:
        """Logistic smoothing (Wang et al. 2019, "Spatial-Temporal Person Re-identification"):
        1 / (1 + exp(-5 cos)) x 1 / (1 + 2 exp(-5 p)), p the travel-time density over its maximum.
        """
        if c.first == c.second:
            return np.zeros(c.distance.shape)
        model, p = _model(self.calibrated, c), np.zeros(c.time_s.shape)
        if model is not None and model.g1 is not None:
            # By the second; views at once, which are a point of time, as if they took one.
            density = model.g1 / np.maximum(np.diff(self.calibrated.grid.edges_s()), 1.0)
            p = (density / density.max())[self.calibrated.grid.bins(c.time_s)]
        seen = 1 / (1 + np.exp(-_ST_REID_GAMMA * c.cosine))
        return np.asarray(seen / (1 + _ST_REID_LAMBDA_TIME * np.exp(-_ST_REID_GAMMA * p)))

    def p_a_oracle(self, c: Candidates) -> Floats:
        """Equation 5 with P_t from the labels and the calibrated alpha."""
        p_travel = self.true_p_travel.get(camera_pair(c.first, c.second))
        if p_travel is None:
            return np.full(c.distance.shape, -np.inf)
        table = _log(p_travel)[self.calibrated.grid.bins(c.time_s)]
        return table - self.calibrated.alpha * c.seen


def _model(calibration: Calibration, c: Candidates) -> PairModel | None:
    if c.first == c.second:
        return None
    model = calibration.pairs.get(camera_pair(c.first, c.second))
    return model if model is not None and model.is_scored else None


def _log(values: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(values))
