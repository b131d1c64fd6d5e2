"""Scores tracklets of the window against each other under the calibration in force."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from stgal_stream.core.calibration.model import Calibration, Odds, Scores
from stgal_stream.core.calibration.score_tables import Cells, ScoreTables
from stgal_stream.core.gallery.gallery import Gallery
from stgal_stream.core.gallery.normalisation import Normalisation
from stgal_stream.core.matching.gated_scores import GatedScores
from stgal_stream.core.measures.travel_time import travel_times_s
from stgal_stream.types import Floats, Integers, Mask, Pair, Vectors

_CHUNK = 256  # tracklets whose distances to the window are held at a time
_PAIR_NUMBERS = 1 << 21  # in float32, of vectors compared pair by pair at a time: 8 MB
_CELLS = 65_536  # pairs that are scored at a time: what they need stays in a processor's cache


@dataclass(frozen=True, slots=True)
class PairBlock:
    """Pairs (B, M) of the tracklets in some ``rows`` (B,) with those in ``others`` (M,), and which
    of them are ``excluded``: they cannot be one person, or cannot be compared."""

    rows: Integers
    others: Integers
    tables: ScoreTables
    cells: Cells
    excluded: Mask

    def scores(self) -> Scores:
        """All scores (B, M)."""
        return self.tables.scores(self.cells, self.excluded)

    def odds(self) -> Odds:
        """The log odds alone (B, M)."""
        return self.tables.odds(self.cells, self.excluded)

    def candidates(self, odds: Odds) -> tuple[Integers, Integers, Floats]:
        """The pairs (K,) that may be pseudo-pairs: rows of the window of both, and their P_a."""
        at, p = self.tables.candidates(self.cells.flat, odds.log_odds.ravel(), self.excluded)
        mine, others = np.divmod(at, self.excluded.shape[1])
        return self.rows[mine], self.others[others], p


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

    def rows(self, numbers: Sequence[int]) -> Iterator[tuple[int, Scores]]:
        """Scores of each tracklet against the whole window. A tracklet's odds and P_a with itself
        are NaN and 0."""
        if self._tables is None:
            for number in numbers:
                row = np.array([number - self.gallery.first])
                yield number, Scores.unknown(self.gallery.travel_times_s(row)[0])
            return
        for block in self.blocks(numbers):
            scores = block.scores()
            for i, row in enumerate(block.rows.tolist()):
                yield row + self.gallery.first, scores[i]

    def before(
        self, numbers: Sequence[int], min_log_odds: float
    ) -> Iterator[tuple[int, GatedScores]]:
        """Scores of each tracklet against those that settled before it, as far as these may be
        pseudo-pairs or of an identity that has log odds of ``min_log_odds``."""
        tables, first = self._tables, self.gallery.first
        if tables is None or not tables.can_gate:
            for number, scores in self.rows(numbers):
                yield number, GatedScores.whole(scores[: number - first])
            return
        gate = tables.gate(min_log_odds)
        for start in range(0, len(numbers), _CHUNK):
            rows = np.array(numbers[start : start + _CHUNK]) - first
            d = self.gallery.distances(rows)
            near = self._near(tables, rows, d, gate)
            yield from self._gated(tables, rows, d, near)

    def _near(
        self, tables: ScoreTables, rows: Integers, d: Vectors, gate: Vectors
    ) -> list[Integers]:
        """For each of some rows (B,), with distances (B, N), the rows before it that lie within the
        gate (M,) of their cameras' model."""
        cameras = self.gallery.cameras
        numbers = tables.numbers(self.gallery.camera_names, cameras[rows])
        farthest = {k: gate[numbers[k]].take(cameras) for k in set(cameras[rows].tolist())}
        near = []
        for row, mine in zip(rows.tolist(), d, strict=True):
            found = np.flatnonzero(mine[:row] <= farthest[int(cameras[row])][:row])
            if strangers := self._strangers(row):
                found = found[~np.isin(found, strangers)]
            near.append(found)
        return near

    def _gated(
        self, tables: ScoreTables, rows: Integers, d: Vectors, near: list[Integers]
    ) -> Iterator[tuple[int, GatedScores]]:
        """Of many tracklets at once, as what a step costs is mostly the number of calls."""
        sizes = np.array([len(found) for found in near])
        part = np.cumsum(sizes) // _CELLS
        for at in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(part)) + 1):
            others = np.concatenate([near[i] for i in at.tolist()])
            which = np.repeat(at, sizes[at])
            scores = self._of_rows(rows[which], others, d[which, others])
            ends = np.cumsum(sizes[at]).tolist()
            for i, end in zip(at.tolist(), ends, strict=True):
                row, found = int(rows[i]), scores[end - len(near[i]) : end]
                score = partial(self._of_row, row, d[i])
                gated = GatedScores(row, near[i], found, tables.most_by_time, score)
                yield row + self.gallery.first, gated

    def _of_row(self, row: int, d: Vectors, others: Integers) -> Scores:
        """Scores (M,) of one row with some others (M,), from its distances to all."""
        return self._of_rows(np.full(len(others), row), others, d[others], self._strangers(row))

    def blocks(
        self, numbers: Sequence[int], others: slice | Integers = slice(None)
    ) -> Iterator[PairBlock]:
        """Some tracklets at a time against those in some rows, or the whole window; asked only
        under a calibration."""
        gallery, tables = self.gallery, self._tables
        assert tables is not None
        columns = np.arange(len(gallery))[others]
        height = max(1, _CELLS // max(1, len(columns)))
        for start in range(0, len(numbers), _CHUNK):
            chunk = np.array(numbers[start : start + _CHUNK]) - gallery.first
            d = gallery.distances(chunk, others)
            for low in range(0, len(chunk), height):
                part = slice(low, low + height)
                number, times_s, excluded = self._between(tables, chunk[part], others)
                for i, row in enumerate(chunk[part].tolist()):
                    if strangers := self._strangers(row):
                        excluded[i, np.isin(columns, strangers)] = True
                cells = tables.cells(number, d[part], times_s)
                yield PairBlock(chunk[part], columns, tables, cells, excluded)

    def _between(
        self, tables: ScoreTables, rows: Integers, others: slice | Integers
    ) -> tuple[Integers, Floats, Mask]:
        """The model, the travel time (s) and whether they are excluded, of pairs of rows (B, M)."""
        gallery = self.gallery
        mine, theirs = gallery.cameras[rows], gallery.cameras[others]
        number = tables.numbers(gallery.camera_names, mine)[mine].take(theirs, axis=1)
        times_s = gallery.travel_times_s(rows, others)
        excluded = (times_s == 0) & (mine[:, None] == theirs)
        comparable = gallery.comparable
        if not comparable.all():
            excluded |= ~(comparable[rows][:, None] & comparable[others])
        return number, times_s, excluded

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
        row = number - gallery.first
        d = gallery.distances(np.array([row]), others)[0]
        scores = self._of_rows(np.full(len(others), row), others, d, self._strangers(row))
        return others + gallery.first, scores.p_candidate

    def of_pairs(
        self, pairs: Sequence[Pair] | Integers, d: Vectors | None = None
    ) -> Iterator[tuple[Integers, Scores]]:
        """Scores pair by pair (numbers), some at a time: positions (M,) among ``pairs``, and the
        scores (M,) of these. ``d`` are their distances, where known."""
        rows = np.array(pairs, np.int64).reshape(-1, 2) - self.gallery.first
        most = max(1, _PAIR_NUMBERS // max(1, self.gallery.embeddings.shape[1]))
        for start in range(0, len(rows), most):
            at = np.arange(start, min(start + most, len(rows)))
            mine, others = rows[at].T
            apart = self._distances(mine, others) if d is None else d[at]
            yield at, self._of_rows(mine, others, apart)

    def _distances(self, mine: Integers, others: Integers) -> Vectors:
        """(M,) distances row by row."""
        apart = self.gallery.directions(mine) - self.gallery.directions(others)
        return np.asarray(np.sqrt(np.einsum("nd,nd->n", apart, apart)))

    def _strangers(self, row: int) -> list[int]:
        """Rows of those who an operator said are others than the tracklet in a row."""
        first, n = self.gallery.first, len(self.gallery)
        return [s - first for s in self.strangers(row + first) if 0 <= s - first < n]

    def _of_rows(
        self, mine: Integers, others: Integers, d: Vectors, strangers: Sequence[int] = ()
    ) -> Scores:
        """Scores of pairs of rows, each array (M,), with these distances; those with ``strangers``
        (rows) are excluded too."""
        gallery, tables = self.gallery, self._tables
        spans, cameras = gallery.spans, gallery.cameras
        times_s = travel_times_s(spans[mine], spans[others])
        if tables is None:
            return Scores.unknown(times_s)
        numbers = tables.numbers(gallery.camera_names, cameras[mine])
        cells = tables.cells(numbers[cameras[mine], cameras[others]], d, times_s)
        # In one camera at one time they are two people (or one tracklet and itself).
        excluded = (times_s == 0) & (cameras[others] == cameras[mine])
        excluded |= ~(gallery.comparable[others] & gallery.comparable[mine])
        if strangers:
            excluded |= np.isin(others, strangers)
        return tables.scores(cells, excluded)
