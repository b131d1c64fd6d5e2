"""Scores tracklets of the window against each other under the calibration in force."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np

from stgal_stream.core.calibration.model import Calibration, Scores
from stgal_stream.core.calibration.score_tables import ScoreTables
from stgal_stream.core.gallery.gallery import Gallery
from stgal_stream.core.gallery.normalisation import Normalisation
from stgal_stream.core.measures.travel_time import travel_times_s
from stgal_stream.types import Floats, Integers, Vectors

_CHUNK = 256  # tracklets whose distances to the window are held at a time


class PairScorer:
    """P_v, P_t, P_a and log odds from a gallery and a calibration.

    Without a calibration nothing is known yet: every P_a is 0 and every log odds NaN.
    """

    def __init__(self, gallery: Gallery, calibration: Calibration | None = None) -> None:
        self.gallery = gallery
        # Of a tracklet those who an operator said are others: numbers.
        self.strangers: Callable[[int], Collection[int]] = lambda number: ()
        self._tables = None if calibration is None else ScoreTables(calibration)

    @property
    def calibration(self) -> Calibration | None:
        """What is in force."""
        return None if self._tables is None else self._tables.calibration

    def use(self, calibration: Calibration) -> None:
        """Puts a calibration in force, its normalisation too."""
        self._tables = ScoreTables(calibration)
        self.gallery.normalise(calibration.normalisation)

    def forget(self) -> None:
        """Nothing is known any more."""
        self._tables = None
        self.gallery.normalise(Normalisation())

    def rows(self, numbers: Sequence[int], *, before: bool = False) -> Iterator[tuple[int, Scores]]:
        """Scores of each tracklet against the whole window, or against those that settled
        ``before`` it. A tracklet's odds and P_a with itself are NaN and 0."""
        gallery = self.gallery
        for start in range(0, len(numbers), _CHUNK):
            part = numbers[start : start + _CHUNK]
            rows = np.array(part) - gallery.first
            d, times = gallery.distances(rows), gallery.travel_times_s(rows)
            for i, number in enumerate(part):
                end = number - gallery.first if before else len(gallery)
                yield number, self._scores(rows[i], slice(0, end), d[i, :end], times[i, :end])

    def one(self, number: int) -> Scores:
        """Scores of one tracklet against the whole window."""
        return next(iter(self.rows([number])))[1]

    def association_row(self, number: int, camera: int) -> tuple[Integers, Floats]:
        """Numbers and P_a of all tracklets of a camera (by index) against one tracklet."""
        gallery = self.gallery
        others = np.flatnonzero(gallery.cameras == camera)
        others = others[others != number - gallery.first]
        if not others.size:
            return others, np.zeros(0)
        row = np.array([number - gallery.first])
        d, times = gallery.distances(row, others), gallery.travel_times_s(row, others)
        return others + gallery.first, self._scores(row[0], others, d[0], times[0]).p_candidate

    def pairs_of_one_camera(self, mine: Integers, others: Integers) -> Scores:
        """Scores pair by pair, of tracklets of one camera in rows ``mine`` (M,) with those in rows
        ``others`` (M,)."""
        gallery = self.gallery
        apart = gallery.directions(mine) - gallery.directions(others)
        d = np.sqrt(np.einsum("nd,nd->n", apart, apart))
        times = travel_times_s(gallery.spans[mine], gallery.spans[others])
        return self._scores(mine, others, d, times)

    def _scores(
        self, mine: np.int64 | Integers, others: slice | Integers, d: Vectors, times: Floats
    ) -> Scores:
        if self._tables is None:
            return Scores.unknown(times)
        gallery = self.gallery
        camera = int(np.atleast_1d(gallery.cameras[mine])[0])
        # In one camera at one time they are two people (or one tracklet and itself).
        excluded = (times == 0) & (gallery.cameras[others] == camera)
        excluded |= ~(gallery.comparable[others] & gallery.comparable[mine])
        if not isinstance(mine, np.ndarray):
            strangers = [n - gallery.first for n in self.strangers(int(mine) + gallery.first)]
            if strangers:
                excluded |= np.isin(np.arange(len(gallery))[others], strangers)
        return self._tables.score(
            gallery.camera_names[camera],
            gallery.camera_names,
            gallery.cameras[others],
            d.astype(np.float64),
            times,
            excluded,
        )
