"""The tracklets in the window, oldest first.

The law: tracklets enter and leave in the order of their numbers, so the window is one contiguous
slice of a few arrays and a tracklet's row is its number minus the first one's.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stgal_stream.core.travel_time import travel_times_s
from stgal_stream.types import Tracklet

_ROOM = 256
_COLUMNS = (
    "_cameras",
    "_starts",
    "_since",
    "_ends",
    "_squares",
    "_scales",
    "_labels",
    "_known",
    "_company",
)


class Gallery:
    """Tracklets of one site and one extractor version with their (N, D) embeddings."""

    def __init__(self) -> None:
        self.first = 0
        self._tracklets: deque[Tracklet] = deque()
        self._settled: deque[float] = deque()
        self._camera_index: dict[str, int] = {}
        self._low = 0
        self._embeddings = np.zeros((0, 0), np.float32)
        self._cameras = np.zeros(0, np.int64)
        self._starts = np.zeros(0)
        self._since = np.zeros(0)
        self._ends = np.zeros(0)
        self._squares = np.zeros(0, np.float32)
        self._scales = np.zeros(0, np.float32)
        self._labels = np.zeros(0, np.int64)
        self._known = np.zeros(0, bool)
        self._company = np.zeros(0)

    def __len__(self) -> int:
        return len(self._tracklets)

    def __getitem__(self, number: int) -> Tracklet:
        return self._tracklets[number - self.first]

    def __contains__(self, number: int) -> bool:
        return self.first <= number < self.next

    @property
    def next(self) -> int:
        """The number that the next tracklet gets."""
        return self.first + len(self._tracklets)

    @property
    def tracklets(self) -> tuple[Tracklet, ...]:
        """All tracklets in the window, oldest first."""
        return tuple(self._tracklets)

    @property
    def camera_names(self) -> tuple[str, ...]:
        """Cameras by index, in the order in which they were first seen."""
        return tuple(self._camera_index)

    @property
    def numbers(self) -> NDArray[np.int64]:
        """(N,) numbers."""
        return np.arange(self.first, self.next, dtype=np.int64)

    @property
    def embeddings(self) -> NDArray[np.float32]:
        """(N, D)."""
        return self._embeddings[self._live()]

    @property
    def cameras(self) -> NDArray[np.int64]:
        """(N,) camera indices."""
        return self._cameras[self._live()]

    @property
    def starts_s(self) -> NDArray[np.float64]:
        """(N,) event times of the first detections."""
        return self._starts[self._live()]

    @property
    def since_s(self) -> NDArray[np.float64]:
        """(N,) event times since which each person has been in view: his track's beginning."""
        return self._since[self._live()]

    @property
    def ends_s(self) -> NDArray[np.float64]:
        """(N,) event times of the last detections."""
        return self._ends[self._live()]

    @property
    def squares(self) -> NDArray[np.float32]:
        """(N,) squared lengths of the embeddings."""
        return self._squares[self._live()]

    @property
    def scales(self) -> NDArray[np.float32]:
        """(N,) a writable view: what the calibration in force makes of each length."""
        return self._scales[self._live()]

    @property
    def labels(self) -> NDArray[np.int64]:
        """(N,) a writable view: each tracklet's identity by index, -1 while it has none."""
        return self._labels[self._live()]

    @property
    def known(self) -> NDArray[np.bool_]:
        """(N,) a writable view: False where a tracklet was not embedded by the extractor in use:
        nothing is compared with it."""
        return self._known[self._live()]

    def newest(self, most: int) -> NDArray[np.int64]:
        """Rows of the newest tracklets that can be compared."""
        return np.flatnonzero(self.known)[-most:]

    def reembed(
        self, extractor: str, embeddings: NDArray[np.float32], known: NDArray[np.bool_]
    ) -> None:
        """Puts all tracklets into another version: ``embeddings`` (N, D), ``known`` (N,) which of
        them mean anything."""
        self._embeddings = np.zeros((len(self._cameras), embeddings.shape[1]), np.float32)
        self._embeddings[self._live()] = embeddings
        self._squares[self._live()] = np.einsum("nd,nd->n", embeddings, embeddings)
        self._known[self._live()] = known
        self._tracklets = deque(
            replace(tracklet, embedding=embeddings[row], extractor=extractor)
            for row, tracklet in enumerate(self._tracklets)
        )

    @property
    def company(self) -> NDArray[np.float64]:
        """(N,) a writable view: what all that each tracklet was compared with since the last
        calibration says for it having company (``company``)."""
        return self._company[self._live()]

    def knows_camera(self, camera: str) -> bool:
        """Whether the camera has a number already."""
        return camera in self._camera_index

    def camera_index(self, camera: str) -> int:
        """The camera's small number; a camera not seen before gets the next one."""
        return self._camera_index.setdefault(camera, len(self._camera_index))

    def add(self, tracklet: Tracklet, settled_s: float) -> None:
        """Appends a tracklet whose number is ``next``, settled at that event time."""
        if tracklet.number != self.next:
            raise ValueError(f"tracklet {tracklet.number} out of order, {self.next} is next")
        row = self._low + len(self)
        is_other_size = not len(self) and self._embeddings.shape[1:] != tracklet.embedding.shape
        if row == len(self._cameras) or is_other_size:
            row = self._make_room(len(tracklet.embedding))
        self._embeddings[row] = tracklet.embedding
        self._cameras[row] = self.camera_index(tracklet.camera)
        self._starts[row], self._ends[row] = tracklet.start_s, tracklet.end_s
        self._since[row] = tracklet.since_s
        self._squares[row] = tracklet.embedding @ tracklet.embedding
        self._scales[row] = 1.0
        self._labels[row] = -1
        self._known[row] = True
        self._company[row] = 0.0
        self._tracklets.append(tracklet)
        self._settled.append(settled_s)

    def travel_times_s(
        self, queries: NDArray[np.int64], rows: NDArray[np.int64] | None = None
    ) -> NDArray[np.float64]:
        """(Q, G) travel times of the tracklets in rows ``queries`` to those in ``rows``, or to
        all, as ``travel_time.travel_time_s`` has them."""
        asked_of = slice(None) if rows is None else rows  # a slice copies nothing
        starts, since, ends = self.starts_s, self.since_s, self.ends_s
        times = travel_times_s(since[queries], ends[queries], since[asked_of], ends[asked_of])
        asking, asked = self.cameras[queries], self.cameras[asked_of]
        for camera in np.unique(asking):
            mine, others = np.flatnonzero(asking == camera), np.flatnonzero(asked == camera)
            one, other = queries[mine], others if rows is None else rows[others]
            within = travel_times_s(starts[one], ends[one], starts[other], ends[other])
            times[np.ix_(mine, others)] = within
        return times

    def expired(self, before_s: float, keep: int) -> list[int]:
        """Takes out what settled before an event time and all but the newest ``keep``; their
        numbers, oldest first."""
        gone = []
        while self._tracklets and (self._settled[0] < before_s or len(self) > keep):
            gone.append(self._tracklets.popleft().number)
            self._settled.popleft()
            self._low += 1
            self.first += 1
        return gone

    def settled_s(self, number: int) -> float:
        """The event time at which a tracklet settled."""
        return self._settled[number - self.first]

    def oldest_settled_s(self) -> float | None:
        """The event time at which the oldest tracklet settled."""
        return self._settled[0] if self._settled else None

    def _live(self) -> slice:
        return slice(self._low, self._low + len(self))

    def _make_room(self, dim: int) -> int:
        """Moves the live rows to the front of arrays at least a half larger than they need."""
        n = len(self)
        room = max(_ROOM, n + n // 2)
        live = self._live()
        embeddings = np.zeros((room, dim), np.float32)
        if n:
            embeddings[:n] = self._embeddings[live]
        self._embeddings = embeddings
        for name in _COLUMNS:
            old = getattr(self, name)
            new = np.zeros(room, old.dtype)
            new[:n] = old[live]
            setattr(self, name, new)
        self._low = 0
        return n
