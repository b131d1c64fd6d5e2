"""Scores tracklets of the window against each other under the calibration in force."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stgal_stream.core.calibration.model import Calibration, Odds, Scores
from stgal_stream.core.calibration.score_tables import Cells, ScoreTables
from stgal_stream.core.gallery.gallery import Gallery
from stgal_stream.core.gallery.normalisation import Normalisation
from stgal_stream.core.measures.travel_time import travel_times_s
from stgal_stream.types import Floats, Integers, Mask, Pair, Vectors

_CHUNK = 256  # tracklets whose distances to the window are held at a time
_PAIR_NUMBERS = 1 << 21  # in float32, of vectors compared pair by pair at a time: 8 MB
_CELLS = 65_536  # pairs that are scored at a time: what they need stays in a processor's cache


@dataclass(frozen=True, slots=True)
class PairBlock:
    """Pairs (B, N) of the tracklets in some ``rows`` (B,) with the whole window, and which of them
    are ``excluded``: they cannot be one person, or cannot be compared."""

    rows: Integers
    tables: ScoreTables
    cells: Cells
    excluded: Mask

    def scores(self) -> Scores:
        """All scores (B, N)."""
        return self.tables.scores(self.cells, self.excluded)

    def odds(self) -> Odds:
        """The log odds alone (B, N)."""
        return self.tables.odds(self.cells, self.excluded)

    def candidates(self, odds: Odds) -> tuple[Integers, Integers, Floats]:
        """The pairs (M,) that may be pseudo-pairs: rows of the window of both, and their P_a."""
        at, p = self.tables.candidates(self.cells.flat, odds.log_odds.ravel(), self.excluded)
        mine, others = np.divmod(at, self.excluded.shape[1])
        return self.rows[mine], others, p


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
        if self._tables is None:
            yield from self._unknown(numbers, before)
            return
        for block in self.blocks(numbers):
            scores = block.scores()
            for i, row in enumerate(block.rows.tolist()):
                found = scores[i, :row] if before else scores[i]
                yield row + self.gallery.first, found

    def blocks(self, numbers: Sequence[int]) -> Iterator[PairBlock]:
        """Some tracklets at a time against the whole window; asked only under a calibration."""
        gallery, tables = self.gallery, self._tables
        assert tables is not None
        height = max(1, _CELLS // max(1, len(gallery)))
        for start in range(0, len(numbers), _CHUNK):
            chunk = np.array(numbers[start : start + _CHUNK]) - gallery.first
            d = gallery.distances(chunk)
            for low in range(0, len(chunk), height):
                rows = chunk[low : low + height]
                yield self._block(tables, rows, d[low : low + height])

    def _unknown(self, numbers: Sequence[int], before: bool) -> Iterator[tuple[int, Scores]]:
        """The rows of scores before anything is learned."""
        for number in numbers:
            row = number - self.gallery.first
            others = slice(0, row) if before else slice(None)
            times_s = self.gallery.travel_times_s(np.array([row]), others)[0]
            yield number, Scores.unknown(times_s)

    def _block(self, tables: ScoreTables, rows: Integers, d: Vectors) -> PairBlock:
        gallery = self.gallery
        names, cameras = gallery.camera_names, gallery.cameras
        mine, which = np.unique(cameras[rows], return_inverse=True)
        numbers = np.stack([tables.numbers(names[camera], names) for camera in mine.tolist()])
        number = numbers.take(cameras, axis=1)[which]
        cells = tables.cells(number, d, gallery.travel_times_s(rows))
        excluded = (cells.times_s == 0) & (cameras[rows][:, None] == cameras)
        if not gallery.comparable.all():
            excluded |= ~(gallery.comparable[rows][:, None] & gallery.comparable)
        for i, row in enumerate(rows.tolist()):
            if strangers := self._strangers(row):
                excluded[i, strangers] = True
        return PairBlock(rows, tables, cells, excluded)

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

    def of_pairs(
        self, pairs: Sequence[Pair] | Integers, d: Vectors | None = None
    ) -> Iterator[tuple[Integers, Scores]]:
        """Scores pair by pair (numbers), camera by camera of the first: positions (M,) among
        ``pairs``, and the scores (M,) of these. ``d`` are their distances, where known."""
        rows = np.array(pairs, np.int64).reshape(-1, 2) - self.gallery.first
        cameras, spans = self.gallery.cameras[rows[:, 0]], self.gallery.spans
        order = np.argsort(cameras, kind="stable")
        begins = np.flatnonzero(np.diff(cameras[order])) + 1
        most = max(1, _PAIR_NUMBERS // max(1, self.gallery.embeddings.shape[1]))
        for of_camera in np.split(order, begins) if len(order) else ():
            for start in range(0, len(of_camera), most):
                at = of_camera[start : start + most]
                mine, others = rows[at].T
                apart = self._distances(mine, others) if d is None else d[at]
                times = travel_times_s(spans[mine], spans[others])
                yield at, self._scores(mine, others, apart, times)

    def _distances(self, mine: Integers, others: Integers) -> Vectors:
        """(M,) distances row by row."""
        apart = self.gallery.directions(mine) - self.gallery.directions(others)
        return np.asarray(np.sqrt(np.einsum("nd,nd->n", apart, apart)))

    def _strangers(self, row: int) -> list[int]:
        """Rows of those who an operator said are others than the tracklet in a row."""
        first, n = self.gallery.first, len(self.gallery)
        return [s - first for s in self.strangers(row + first) if 0 <= s - first < n]

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
        if not isinstance(mine, np.ndarray) and (strangers := self._strangers(int(mine))):
            excluded |= np.isin(np.arange(len(gallery))[others], strangers)
        return self._tables.score(
            gallery.camera_names[camera],
            gallery.camera_names,
            gallery.cameras[others],
            d,
            times,
            excluded,
        )
