"""A calibration: what is known of each camera pair, and of how to compare."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stgal_stream.core.calibration.link_test import LinkStatus
from stgal_stream.core.calibration.shared_light import SharedLight
from stgal_stream.core.calibration.time_grid import TimeGrid
from stgal_stream.core.calibration.travel_time_distribution import TravelTimeDistribution
from stgal_stream.core.calibration.within_person import WithinPersonScatter
from stgal_stream.core.gallery.normalisation import Normalisation
from stgal_stream.core.measures.log_odds import LOG_ODDS_LIMIT
from stgal_stream.types import CameraPair, Floats, camera_pair

LEAST_LOG_ODDS = -2.2  # of a pseudo-pair: one to nine


@dataclass(frozen=True, slots=True)
class Odds:
    """What is known of pairs, arrays of one shape: the log odds of one person by their cameras and
    appearance, what the travel time adds to them, the travel times in seconds, and what the cameras
    alone say. Log odds are NaN where nothing is known; ``log_odds`` are the posterior ones."""

    log_appearance: Floats
    log_time: Floats
    times_s: Floats
    log_prior: Floats
    log_odds: Floats = field(init=False)

    def __post_init__(self) -> None:
        odds = self.log_appearance + self.log_time
        np.clip(odds, -LOG_ODDS_LIMIT, LOG_ODDS_LIMIT, out=odds)
        object.__setattr__(self, "log_odds", odds)


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of N pairs, each array (N,): P_v, P_t, P_a, and what ``Odds`` tells."""

    p_visual: Floats
    p_travel: Floats
    p_association: Floats
    log_appearance: Floats
    log_time: Floats
    times_s: Floats
    log_odds: Floats
    log_prior: Floats

    def __getitem__(self, at: Any) -> Scores:
        """Those of some pairs; any index of numpy."""
        return Scores(
            self.p_visual[at], self.p_travel[at], self.p_association[at], self.log_appearance[at],
            self.log_time[at], self.times_s[at], self.log_odds[at], self.log_prior[at],
        )  # fmt: skip

    @property
    def p_candidate(self) -> Floats:
        """P_a of what may be a pseudo-pair: 0 where a pair is wrong nine times in ten."""
        return np.where(self.log_odds < LEAST_LOG_ODDS, 0.0, self.p_association)

    @classmethod
    def unknown(cls, times_s: Floats) -> Scores:
        """Before anything is learned: every P_a is 0, every log odds NaN."""
        zero, nothing = np.zeros(times_s.shape), np.full(times_s.shape, np.nan)
        return cls(zero, zero, zero, nothing, zero, times_s, nothing, zero)


@dataclass(frozen=True, slots=True)
class PairModel:
    """One camera pair: travel times counted from best buddies, and the mixture's parts.

    ``p_travel`` (the probability of one person by the travel time alone, in equation 4's place),
    ``log_time_ratio`` (log g1 / g0) and ``g1`` are tables over the bins of the time grid,
    ``log_distance_ratio`` (log f1 / f0) over the distance bins. The log posterior odds of one
    person are the two ratios and the log prior odds, added. A pair with too little data of its own
    may hold what all such pairs have together.
    """

    link: LinkStatus
    n_buddies: int
    distribution: TravelTimeDistribution
    p_travel: Floats | None = None
    log_time_ratio: Floats | None = None
    log_distance_ratio: Floats | None = None
    log_prior_odds: float = 0.0
    g1: Floats | None = None

    @property
    def is_scored(self) -> bool:
        """Whether pairs of these cameras can be scored."""
        return self.link is LinkStatus.LINKED or self.log_time_ratio is not None


@dataclass(frozen=True, slots=True)
class Calibration:
    """Everything the tracker needs to score a pair; one travel-time version.

    ``alpha`` is that of equation 1, ``sigma`` of equation 3. Camera pairs are unordered and sorted;
    a pair that is absent has of its own no more than what ``rest`` says of all such pairs, across
    cameras and within one, if it is of ``cameras`` that were seen. ``scatter`` is None where
    nothing is known of it.
    """

    version: str
    method: str
    alpha: float
    sigma: float
    pairs: dict[CameraPair, PairModel] = field(default_factory=dict)
    grid: TimeGrid = field(default_factory=TimeGrid)
    distance_width: float = 1.0
    normalisation: Normalisation = field(default_factory=Normalisation)
    scatter: WithinPersonScatter | None = None
    light: SharedLight | None = None
    rest: tuple[PairModel | None, PairModel | None] = (None, None)
    cameras: tuple[str, ...] = ()

    def model(self, first: str, second: str) -> PairModel | None:
        """What is known of two cameras, in any order; None where one was never seen."""
        found = self.pairs.get(camera_pair(first, second))
        if found is None and first in self.cameras and second in self.cameras:
            return self.rest[first == second]
        return found

    @property
    def has_learned(self) -> bool:
        """Whether people are known to go from camera to camera."""
        return any(model.is_scored for (a, b), model in self.pairs.items() if a != b)

    def log_odds_table(self, first: str, second: str) -> Floats | None:
        """The log posterior odds (distance bins, time bins); None where nothing is known about the
        two cameras."""
        model = self.model(first, second)
        if model is None or model.log_distance_ratio is None or model.log_time_ratio is None:
            return None
        by_distance = model.log_distance_ratio + model.log_prior_odds
        by_distance = np.clip(by_distance, -LOG_ODDS_LIMIT, LOG_ODDS_LIMIT)
        odds = by_distance[:, None] + model.log_time_ratio[None, :]
        return np.clip(odds, -LOG_ODDS_LIMIT, LOG_ODDS_LIMIT)
