"""Scores tracklets of the window against each other under the calibration in force."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stgal_stream.core.calibration import Calibration, Scores
from stgal_stream.core.gallery import Gallery
from stgal_stream.core.spread import TOO_FAR, Spread, Whole
from stgal_stream.core.travel_time import travel_time_s
from stgal_stream.core.view import View
from stgal_stream.types import Evidence, Tracklet

ONE_LOOK_S = 60.0  # for so long light and pose stay what they are
_CHUNK = 256
_MOST_OF_A_GROUP = 256
Numbers = NDArray[np.int64]
Floats = NDArray[np.float64]


class Scorer:
    """P_v, P_t, P_a and log odds from a gallery and a calibration. Without a calibration nothing
    is known yet: every P_a is 0 and every log odds NaN."""

    def __init__(self, gallery: Gallery) -> None:
        self.gallery = gallery
        self.calibration: Calibration | None = None

    def use(self, calibration: Calibration) -> None:
        """Puts a calibration in force: all tracklets are seen anew."""
        self.calibration = calibration
        self.look(slice(None))

    def look(self, rows: slice) -> None:
        """Measures tracklets under the view in force."""
        if self.calibration is not None:
            gallery = self.gallery
            gallery.scales[rows] = self.calibration.view.scales(
                gallery.embeddings[rows], gallery.cameras[rows]
            )

    def rows(self, numbers: Sequence[int], until: bool = False) -> Iterator[tuple[int, Scores]]:
        """Scores of each tracklet against the whole window, or (``until``) against those that
        settled before it. A tracklet's odds and P_a with itself are NaN and 0."""
        gallery = self.gallery
        for start in range(0, len(numbers), _CHUNK):
            part = numbers[start : start + _CHUNK]
            at = np.array(part) - gallery.first
            d = self._distances(at, slice(None))
            times = gallery.travel_times_s(at)
            for i, number in enumerate(part):
                end = number - gallery.first if until else len(gallery)
                yield number, self._scores(int(at[i]), slice(0, end), d[i, :end], times[i, :end])

    def one(self, number: int) -> Scores:
        """Scores of one tracklet against the whole window."""
        return next(iter(self.rows([number])))[1]

    def association_row(self, number: int, camera: int) -> tuple[Numbers, Floats]:
        """Numbers and P_a of all tracklets of a camera (by index) against one tracklet."""
        gallery = self.gallery
        rows = np.flatnonzero(gallery.cameras == camera)
        rows = rows[rows != number - gallery.first]
        if not rows.size:
            return rows, np.zeros(0)
        at = number - gallery.first
        d = self._distances(np.array([at]), rows)
        times = gallery.travel_times_s(np.array([at]), rows)
        return rows + gallery.first, self._scores(at, rows, d[0], times[0]).p_association

    def evidence(
        self, number: int, partner: int, scores: Scores, runner_up: int | None = None
    ) -> Evidence:
        """What speaks for a pair. ``scores`` are one member's against the first rows of the
        window; numbers are those of the partner and of the best tracklet not chosen."""
        gallery = self.gallery
        found = self._evidence(gallery[number], gallery[partner], scores, partner - gallery.first)
        if runner_up is None:
            return found
        second_p = scores.p_association[runner_up - gallery.first]
        return replace(found, runner_up=gallery[runner_up], runner_up_p_association=float(second_p))

    @property
    def spread(self) -> Spread | None:
        """How far apart one person's looks lie, where anything is known of it."""
        return None if self.calibration is None else self.calibration.spread

    def whole(self, numbers: Sequence[int]) -> Whole | None:
        """A group of tracklets as a whole, as it is compared; None where none of them can be. What
        one camera saw with breaks of up to a minute is one look: its parts have light and pose in
        common. A large group speaks through its 256 newest tracklets."""
        gallery = self.gallery
        at = np.array(sorted(numbers)[-_MOST_OF_A_GROUP:]) - gallery.first
        at = at[gallery.known[at]]
        if not len(at):
            return None
        at = at[np.lexsort((gallery.starts_s[at], gallery.cameras[at]))]
        breaks_s = gallery.starts_s[at[1:]] - gallery.ends_s[at[:-1]]
        new = (np.diff(gallery.cameras[at]) != 0) | (breaks_s > ONE_LOOK_S)
        begins = np.concatenate([[0], np.flatnonzero(new) + 1])
        sums = np.add.reduceat(self._directions(at).astype(np.float64), begins, axis=0)
        looks = sums / np.diff(begins, append=len(at))[:, None]
        return Whole(looks.mean(axis=0), len(looks))

    def are_too_far(self, first: Whole | None, second: Whole | None) -> bool:
        """Whether two groups lie too far apart for one person."""
        if self.spread is None or first is None or second is None:
            return False
        return bool(self.spread.excess(first, [second])[0] > TOO_FAR)

    def whole_log_odds(self, first: Whole | None, second: Whole | None) -> float:
        """The log odds by appearance that two groups are one person and not two strangers; minus
        infinity where nothing is known."""
        if self.spread is None or first is None or second is None:
            return -math.inf
        return self.spread.log_odds(first, second)

    def _distances(self, at: Numbers, rows: slice | Numbers) -> NDArray[np.float32]:
        """Distances of the tracklets in rows ``at`` to those in ``rows``, as they are compared."""
        gallery = self.gallery
        return self._view.distances(
            self._directions(at),
            gallery.embeddings[rows],
            gallery.cameras[rows],
            gallery.scales[rows],
            gallery.squares[rows],
        )

    def _evidence(self, mine: Tracklet, partner: Tracklet, scores: Scores, at: int) -> Evidence:
        assert self.calibration is not None
        return Evidence(
            partner=partner,
            p_visual=float(scores.p_visual[at]),
            p_travel=float(scores.p_travel[at]),
            p_association=float(scores.p_association[at]),
            travel_time_s=travel_time_s(mine, partner),
            log_odds=float(np.nan_to_num(scores.log_odds[at])),
            travel_time_version=self.calibration.version,
        )

    def pair_evidence(self, number: int, partner: int) -> Evidence:
        """What speaks for a pair, scored on the spot."""
        return self.pair_evidences([(number, partner)])[0]

    def pair_evidences(self, pairs: Sequence[tuple[int, int]]) -> list[Evidence]:
        """What speaks for each pair (number, partner), scored on the spot, those of one camera at
        a time."""
        gallery = self.gallery
        rows = np.array(pairs, np.int64).reshape(-1, 2) - gallery.first
        found: list[Evidence | None] = [None] * len(pairs)
        cameras = gallery.cameras[rows[:, 0]]
        for camera in np.unique(cameras):
            at = np.flatnonzero(cameras == camera)
            mine, others = rows[at].T
            apart = self._directions(mine) - self._directions(others)
            d = np.sqrt(np.einsum("nd,nd->n", apart, apart))
            asked = [pairs[i] for i in at.tolist()]
            times = np.array([travel_time_s(gallery[one], gallery[other]) for one, other in asked])
            scores = self._scores(mine, others, d, times)
            for k, i in enumerate(at.tolist()):
                number, partner = pairs[i]
                found[i] = self._evidence(gallery[number], gallery[partner], scores, k)
        return [evidence for evidence in found if evidence is not None]

    def _directions(self, at: Numbers) -> NDArray[np.float32]:
        gallery = self.gallery
        return self._view.directions(gallery.embeddings[at], gallery.cameras[at])

    @property
    def _view(self) -> View:
        return View() if self.calibration is None else self.calibration.view

    def _scores(
        self, at: int | Numbers, rows: slice | Numbers, d: NDArray[np.float32], times: Floats
    ) -> Scores:
        """Scores of the tracklet in row ``at`` against those in ``rows``, or of tracklets of one
        camera, pair by pair."""
        apart = np.asarray(times, dtype=np.float64)
        if self.calibration is None:
            zero = np.zeros(len(d))
            return Scores(zero, zero, zero, np.full(len(d), np.nan), zero, apart)
        gallery = self.gallery
        camera = int(np.atleast_1d(gallery.cameras[at])[0])
        scores = self.calibration.score(
            gallery.camera_names[camera],
            gallery.camera_names,
            gallery.cameras[rows],
            d.astype(np.float64),
            apart,
        )
        # In one camera at one time they are two people (or one tracklet and itself).
        hidden = (apart == 0) & (gallery.cameras[rows] == camera)
        hidden |= ~(gallery.known[rows] & gallery.known[at])
        nothing = np.flatnonzero(hidden)
        scores.p_association[nothing] = 0.0
        scores.log_appearance[nothing] = np.nan
        return scores
