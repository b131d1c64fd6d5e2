"""Scores of pairs as table look-ups: equations 1, 4 and 5, and log odds, for any number of cameras.

A calibration holds a model of each camera pair; here the models are rows of arrays, so that scoring
a tracklet costs by its candidates and not by the site's cameras.
"""

from __future__ import annotations

import numpy as np

from stgal_stream.core.calibration.model import Calibration, PairModel, Scores
from stgal_stream.core.calibration.pair_histogram import N_DISTANCE_BINS
from stgal_stream.core.measures.distance import visual_probability
from stgal_stream.core.measures.log_odds import LOG_ODDS_LIMIT
from stgal_stream.types import Floats, Integers, Mask

_UNKNOWN = -1


class ScoreTables:
    """A calibration's models as arrays: of M of them, P_t and log g1 / g0 (M, T) over the time
    grid, log f1 / f0 (M, D) over the distance bins, and the log prior odds (M,)."""

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
        self._others: tuple[str, ...] = ()
        self._position: dict[str, int] = {}
        self._is_known = np.zeros(0, bool)
        n_times = calibration.grid.n
        self._is_fitted = np.array([m.log_time_ratio is not None for m in self._models], bool)
        # Flat, model after model: one look-up instead of two.
        self._p_travel = _stacked([m.p_travel for m in self._models], n_times).ravel()
        self._log_time = _stacked([m.log_time_ratio for m in self._models], n_times).ravel()
        by_distance = _stacked([m.log_distance_ratio for m in self._models], N_DISTANCE_BINS)
        self._steps = np.diff(by_distance, axis=1, append=by_distance[:, -1:]).ravel()
        self._by_distance = by_distance.ravel()
        self._prior = np.array([m.log_prior_odds for m in self._models])

    def score(
        self,
        camera: str,
        others: tuple[str, ...],
        index: Integers,
        d: Floats,
        t: Floats,
        excluded: Mask | None = None,
    ) -> Scores:
        """Scores of tracklets of one camera against N others, pair by pair.

        ``others`` names cameras by index, ``index`` (N,) is each other one's camera, ``d`` (N,) are
        distances, ``t`` (N,) travel times in seconds. Pairs that are ``excluded`` (N,) cannot be
        one person, or cannot be compared: their P_a is 0 and their log odds are NaN.
        """
        found = self.calibration
        bins = found.grid.bins(t)
        if found.light is not None:
            d = found.light.seen(d, bins)
        p_visual = visual_probability(d, found.alpha)
        p_travel, log_time = np.zeros(len(d)), np.zeros(len(d))
        log_appearance = np.full(len(d), np.nan)
        numbers = self._numbers(camera, others)
        number = numbers[index]
        rows: slice | Integers = slice(None)  # nearly always all are known
        if (numbers == _UNKNOWN).any() or not self._is_fitted[numbers].all():
            rows = np.flatnonzero(number != _UNKNOWN)
            rows = self._counted(rows, number, t, p_travel)
        mine, when = number[rows], bins[rows]
        odds = self._interpolated(mine, d[rows])
        odds += self._prior[mine]
        log_appearance[rows] = np.clip(odds, -LOG_ODDS_LIMIT, LOG_ODDS_LIMIT, out=odds)
        if found.method == "appearance":
            p_travel[rows] = 1.0
        else:
            at = mine * found.grid.n + when
            p_travel[rows] = self._p_travel[at]
            log_time[rows] = self._log_time[at]
        p_association = p_visual * p_travel  # equation 5
        if excluded is not None:
            p_association[excluded] = 0.0
            log_appearance[excluded] = np.nan
        return Scores(p_visual, p_travel, p_association, log_appearance, log_time, t)

    def _added(self, model: PairModel) -> int:
        if not model.is_scored:
            return _UNKNOWN
        self._models.append(model)
        return len(self._models) - 1

    def _numbers(self, camera: str, others: tuple[str, ...]) -> Integers:
        """(C,) the model of a camera with each of the others."""
        if others is not self._others:
            self._others = others
            self._position = {name: i for i, name in enumerate(others)}
            self._is_known = np.array([name in self._cameras for name in others], bool)
        numbers = np.full(len(others), _UNKNOWN)
        across, within = self._rest
        if camera in self._cameras:
            numbers[self._is_known] = across
            if camera in self._position:
                numbers[self._position[camera]] = within
        for other, number in self._of_camera.get(camera, {}).items():
            if other in self._position:
                numbers[self._position[other]] = number
        return numbers

    def _counted(self, rows: Integers, number: Integers, t: Floats, p_travel: Floats) -> Integers:
        """P_t of the rows whose camera pair has counted travel times and no fit (the paper's); the
        other rows."""
        is_fitted = self._is_fitted[number[rows]]
        for k in np.unique(number[rows[~is_fitted]]).tolist():
            mine = rows[number[rows] == k]
            p_travel[mine] = self._models[k].distribution.probability(t[mine])
        return np.asarray(rows[is_fitted])

    def _interpolated(self, mine: Integers, d: Floats) -> Floats:
        """log f1 / f0 of models (N,) at distances (N,), linear between the bins' centres."""
        at = d / self.calibration.distance_width - 0.5
        np.clip(at, 0.0, N_DISTANCE_BINS - 1, out=at)
        low = at.astype(np.int64)
        at -= low
        low += mine * N_DISTANCE_BINS
        at *= self._steps[low]
        at += self._by_distance[low]
        return at


def _stacked(rows: list[Floats | None], n: int) -> Floats:
    """(M, n); zeros where there is no row."""
    made = np.zeros((len(rows), n))
    for k, row in enumerate(rows):
        if row is not None:
            made[k] = row
    return made
