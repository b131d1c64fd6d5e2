"""Scores of pairs as table look-ups: equations 1, 4 and 5, and log odds, for any number of cameras.

A calibration holds a model of each camera pair; here the models are rows of arrays, so that scoring
a tracklet costs by its candidates and not by the site's cameras.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgal_stream.core.calibration.model import (
    LEAST_LOG_ODDS,
    Calibration,
    Odds,
    PairModel,
    Scores,
)
from stgal_stream.core.calibration.pair_histogram import N_DISTANCE_BINS
from stgal_stream.core.measures.distance import visual_probability
from stgal_stream.core.measures.log_odds import LOG_ODDS_LIMIT
from stgal_stream.types import Floats, Integers, Mask, Vectors

_UNKNOWN = -1
_ROUNDING = 1e-9  # of log odds: a gate may let too much in, never too little


@dataclass(frozen=True, slots=True)
class Cells:
    """Where pairs stand in the tables, arrays of one shape: the model of their cameras, the bin of
    their travel time, the distance that is seen, and the travel time in seconds."""

    number: Integers
    bins: Integers
    d: Floats
    times_s: Floats

    def __getitem__(self, at: Any) -> Cells:
        """Those of some pairs; any index of numpy."""
        return Cells(self.number[at], self.bins[at], self.d[at], self.times_s[at])

    @property
    def flat(self) -> Cells:
        """The same in one row."""
        return Cells(self.number.ravel(), self.bins.ravel(), self.d.ravel(), self.times_s.ravel())


class ScoreTables:
    """A calibration's models as arrays: of M of them, P_t and log g1 / g0 (M, T) over the time
    grid, log f1 / f0 (M, D) over the distance bins, and the log prior odds (M,). One model more,
    the last, is that of cameras of which nothing is known."""

    def __init__(self, calibration: Calibration) -> None:
        self.calibration = calibration
        self._models: list[PairModel] = []
        self._of_camera: dict[str, dict[str, int]] = {}
        for (first, second), model in calibration.pairs.items():
            number = self._added(model)
            self._of_camera.setdefault(first, {})[second] = number
            self._of_camera.setdefault(second, {})[first] = number
        self._rest = tuple(_UNKNOWN if m is None else self._added(m) for m in calibration.rest)
        self._cameras = frozenset(calibration.cameras)
        self._names: tuple[str, ...] = ()
        self._position: dict[str, int] = {}
        self._numbers = np.zeros((0, 0), np.int64)
        self._is_known = self._is_filled = np.zeros(0, bool)
        n_times = calibration.grid.n
        models = self._models
        is_fitted = np.array([m.log_time_ratio is not None for m in models], bool)
        self._counted = np.flatnonzero(~is_fitted).tolist()
        # Flat, model after model: one look-up instead of two.
        p_travel = _stacked([m.p_travel for m in models], n_times)
        log_time = _stacked([m.log_time_ratio for m in models], n_times)
        if calibration.method == "appearance":
            p_travel[:-1][is_fitted], log_time[:] = 1.0, 0.0
        by_distance = _stacked([m.log_distance_ratio for m in models], N_DISTANCE_BINS)
        self._steps = np.diff(by_distance, axis=1, append=by_distance[:, -1:]).ravel()
        by_distance[[*self._counted, -1]] = np.nan
        self._p_travel, self._log_time = p_travel.ravel(), log_time.ravel()
        self._by_distance = by_distance.ravel()
        self._prior = np.array([*(m.log_prior_odds for m in models), 0.0])
        self._gates: dict[float, Vectors] = {}  # by the log odds that an identity needs
        # The most that a travel time adds to log odds, anywhere.
        self.most_by_time = float(self._log_time.max(initial=0.0))

    @property
    def can_gate(self) -> bool:
        """Whether a distance alone bounds the odds: not where light makes it a matter of time, or
        where there are no odds (the paper's models)."""
        return self.calibration.light is None and not self._counted

    def gate(self, min_log_odds: float) -> Vectors:
        """(M + 1,) for each model the distance beyond which no pair can be a pseudo-pair, or the
        best of an identity that has such log odds; below zero where no distance can."""
        if min_log_odds not in self._gates:
            self._gates[min_log_odds] = self._gate(min_log_odds)
        return self._gates[min_log_odds]

    def _gate(self, min_log_odds: float) -> Vectors:
        # A pair has its own travel time; an identity may have that of any of its pairs.
        by_time = self._log_time.reshape(-1, self.calibration.grid.n).max(axis=1, initial=0.0)
        least = np.minimum(LEAST_LOG_ODDS - by_time, min_log_odds - self.most_by_time)
        odds = self._by_distance.reshape(-1, N_DISTANCE_BINS) + self._prior[:, None]
        odds = np.nan_to_num(np.clip(odds, -LOG_ODDS_LIMIT, LOG_ODDS_LIMIT), nan=-np.inf)
        most = np.maximum.accumulate(odds[:, ::-1], axis=1)[:, ::-1]
        n_near = (most >= least[:, None] - _ROUNDING).sum(axis=1)
        # Between two bins' centres the odds are between theirs; the last bin has no end.
        centres = (np.arange(N_DISTANCE_BINS) + 0.5) * self.calibration.distance_width
        ends = np.array([-1.0, *centres[1:], np.inf], np.float32)
        return np.asarray(np.nextafter(ends, np.float32(np.inf))[n_near])

    def score(
        self,
        camera: str,
        others: tuple[str, ...],
        index: Integers,
        d: NDArray[np.floating],
        t: Floats,
        excluded: Mask | None = None,
    ) -> Scores:
        """Scores of tracklets of one camera against N others, pair by pair.

        ``others`` names cameras by index, ``index`` (N,) is each other one's camera, ``d`` (N,) are
        distances, ``t`` (N,) travel times in seconds. Pairs that are ``excluded`` (N,) cannot be
        one person, or cannot be compared: their P_a is 0 and their log odds are NaN.
        """
        names = others if camera in others else (*others, camera)
        mine = np.array([names.index(camera)])
        cells = self.cells(self.numbers(names, mine)[mine[0], index], d, t)
        return self.scores(cells, np.zeros(len(d), bool) if excluded is None else excluded)

    def cells(self, number: Integers, d: NDArray[np.floating], times_s: Floats) -> Cells:
        """Where pairs stand, from their cameras' models (``numbers``), distances and travel
        times."""
        bins = self.calibration.grid.bins(times_s)
        light = self.calibration.light
        seen = d.astype(np.float64) if light is None else light.seen(d, bins)
        return Cells(number, bins.astype(np.int64), seen, times_s)

    def scores(self, cells: Cells, excluded: Mask) -> Scores:
        """All scores of pairs, of which some are ``excluded``."""
        p_visual = visual_probability(cells.d, self.calibration.alpha)
        p_travel = self._p_travel_of(cells)
        p_association = p_visual * p_travel  # equation 5
        p_association[excluded] = 0.0
        odds = self.odds(cells, excluded)
        return Scores(
            p_visual, p_travel, p_association, odds.log_appearance, odds.log_time, cells.times_s,
            odds.log_odds, odds.log_prior,
        )  # fmt: skip

    def odds(self, cells: Cells, excluded: Mask) -> Odds:
        """The log odds of pairs, of which some are ``excluded``."""
        found = self._interpolated(cells)
        log_prior = self._prior.take(cells.number)
        found += log_prior
        np.clip(found, -LOG_ODDS_LIMIT, LOG_ODDS_LIMIT, out=found)
        found[excluded] = np.nan
        at = cells.number * self.calibration.grid.n
        at += cells.bins
        return Odds(found, self._log_time.take(at), cells.times_s, log_prior)

    def candidates(self, cells: Cells, log_odds: Floats, excluded: Mask) -> tuple[Integers, Floats]:
        """Which pairs of one row may be pseudo-pairs (M,), and their P_a."""
        at = np.flatnonzero(~((log_odds < LEAST_LOG_ODDS) | excluded.ravel()))
        few = cells[at]
        p = visual_probability(few.d, self.calibration.alpha) * self._p_travel_of(few)
        return at[p > 0], p[p > 0]

    def _p_travel_of(self, cells: Cells) -> Floats:
        """P_t of pairs; the paper's models have counted travel times and no table."""
        found = self._p_travel.take(cells.number * self.calibration.grid.n + cells.bins)
        for k in self._counted:
            mine = cells.number == k
            found[mine] = self._models[k].distribution.probability(cells.times_s[mine])
        return found

    def _added(self, model: PairModel) -> int:
        if not model.is_scored:
            return _UNKNOWN
        self._models.append(model)
        return len(self._models) - 1

    def numbers(self, names: tuple[str, ...], cameras: Integers) -> Integers:
        """(C, C) the model of each two cameras, by their index in ``names``. Only the rows of
        ``cameras`` are filled in, and those of earlier calls with the same names."""
        if names is not self._names:
            self._names = names
            self._position = {name: i for i, name in enumerate(names)}
            self._is_known = np.array([name in self._cameras for name in names], bool)
            self._numbers = np.full((len(names), len(names)), _UNKNOWN)
            self._is_filled = np.zeros(len(names), bool)
        if not self._is_filled[cameras].all():
            for camera in set(cameras.tolist()):
                self._fill(camera)
        return self._numbers

    def _fill(self, camera: int) -> None:
        row, name = self._numbers[camera], self._names[camera]
        across, within = self._rest
        if name in self._cameras:
            row[self._is_known] = across
            row[camera] = within
        for other, number in self._of_camera.get(name, {}).items():
            if other in self._position:
                row[self._position[other]] = number
        self._is_filled[camera] = True

    def _interpolated(self, cells: Cells) -> Floats:
        """log f1 / f0 of pairs, linear between the bins' centres."""
        at = cells.d / self.calibration.distance_width
        at -= 0.5
        np.clip(at, 0.0, N_DISTANCE_BINS - 1, out=at)
        low = at.astype(np.int64)
        at -= low
        low += cells.number * N_DISTANCE_BINS
        at *= self._steps.take(low)
        at += self._by_distance.take(low)
        return at


def _stacked(rows: list[Floats | None], n: int) -> Floats:
    """(M + 1, n); zeros where there is no row, and in the last one."""
    made = np.zeros((len(rows) + 1, n))
    for k, row in enumerate(rows):
        if row is not None:
            made[k] = row
    return made
