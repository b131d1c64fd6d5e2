"""The tracklets in the window, oldest first, as columns.

Laws. Tracklets enter and leave in the order of their numbers. So the window is one contiguous slice
of each column, and a tracklet's row is its number minus the first one's. A camera whose last
tracklet has left is forgotten, and its index is free for another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgal_stream.core.gallery.normalisation import Normalisation
from stgal_stream.core.measures.travel_time import Spans, travel_times_s
from stgal_stream.types import Floats, Integers, Mask, Tracklet, Vectors

_MIN_CAPACITY = 256  # rows: columns grow by half, from here on
NO_SLOT = -1
_EMPTY: dict[str, NDArray[Any]] = {
    "embedding": np.zeros((0, 0), np.float32),
    "camera": np.zeros(0, np.int64),
    "start_s": np.zeros(0),
    "in_view_from_s": np.zeros(0),
    "end_s": np.zeros(0),
    "square": np.zeros(0, np.float32),
    "scale": np.zeros(0, np.float32),
    "slot": np.zeros(0, np.int64),
    "comparable": np.zeros(0, bool),
}


@dataclass(frozen=True, slots=True)
class GalleryState:
    """All that a ``Gallery`` knows. The scales came out of sums whose last bits depend on the
    shape of the array, so they are kept and not computed again."""

    first: int
    cameras: list[str | None]
    tracklets: list[Tracklet]
    settled_s: list[float]
    scales: Vectors
    slots: Integers
    comparable: Mask
    normalisation: Normalisation


class Gallery:
    """Tracklets of one site and one extractor version with their (N, D) embeddings. The first
    indices are those of ``cameras``. ``generation`` is another number wherever ``directions`` of
    tracklets in the window are not what they were."""

    def __init__(self, cameras: Iterable[str] = ()) -> None:
        self.first = 0
        self.generation = 0
        self.normalisation = Normalisation()
        self._tracklets: deque[Tracklet] = deque()
        self._settled: deque[float] = deque()
        self._cameras: list[str | None] = list(cameras)
        self._camera_index = {name: i for i, name in enumerate(self._cameras) if name is not None}
        self._n_of_camera = [0] * len(self._cameras)
        self._names: tuple[str, ...] | None = None
        self._low = 0
        self._columns = dict(_EMPTY)
        self._live: dict[str, NDArray[Any]] = {}  # columns' live parts, read-only

    def __len__(self) -> int:
        return len(self._tracklets)

    def __getitem__(self, number: int) -> Tracklet:
        return self._tracklets[number - self.first]

    def __contains__(self, number: int) -> bool:
        return self.first <= number < self.next

    # --- what is there -----------------------------------------------------------------------

    @property
    def next(self) -> int:
        """The number that the next tracklet gets."""
        return self.first + len(self._tracklets)

    @property
    def numbers(self) -> Integers:
        """(N,) numbers."""
        return np.arange(self.first, self.next, dtype=np.int64)

    @property
    def tracklets(self) -> tuple[Tracklet, ...]:
        """All tracklets, oldest first."""
        return tuple(self._tracklets)

    @property
    def camera_names(self) -> tuple[str, ...]:
        """Cameras by index; an empty name where an index is free."""
        if self._names is None:
            self._names = tuple(name or "" for name in self._cameras)
        return self._names

    @property
    def n_cameras(self) -> int:
        """How many cameras have a tracklet in the window."""
        return len(self._camera_index)

    @property
    def embeddings(self) -> Vectors:
        """(N, D)."""
        return self._column("embedding")

    @property
    def cameras(self) -> Integers:
        """(N,) camera indices."""
        return self._column("camera")

    @property
    def starts_s(self) -> Floats:
        """(N,) event times of the first detections."""
        return self._column("start_s")

    @property
    def ends_s(self) -> Floats:
        """(N,) event times of the last detections."""
        return self._column("end_s")

    @property
    def spans(self) -> Spans:
        """When each tracklet was in view."""
        names = ("camera", "start_s", "in_view_from_s", "end_s")
        return Spans(*(self._column(name) for name in names))

    @property
    def slots(self) -> Integers:
        """(N,) the slot of each tracklet's identity, ``NO_SLOT`` while it has none."""
        return self._column("slot")

    @property
    def comparable(self) -> Mask:
        """(N,) False where a tracklet is compared with nothing: it is no person, or not embedded by
        the extractor in use."""
        return self._column("comparable")

    def newest(self, n: int) -> Integers:
        """Rows of the newest ``n`` tracklets that can be compared."""
        return np.flatnonzero(self.comparable)[-n:]

    def knows_camera(self, camera: str) -> bool:
        """Whether the camera has an index already."""
        return camera in self._camera_index

    def camera_index(self, camera: str) -> int:
        """The index of a camera of the window."""
        return self._camera_index[camera]

    def settled_s(self, number: int) -> float:
        """The event time at which a tracklet settled."""
        return self._settled[number - self.first]

    def oldest_settled_s(self) -> float | None:
        """The event time at which the oldest tracklet settled."""
        return self._settled[0] if self._settled else None

    # --- how they are compared ---------------------------------------------------------------

    def directions(self, rows: Integers) -> Vectors:
        """(M, D) what is compared of the tracklets in some rows."""
        return self.normalisation.directions(self.embeddings[rows], self.cameras[rows])

    def distances(self, queries: Integers, rows: slice | Integers = slice(None)) -> Vectors:
        """(Q, G) distances of the tracklets in rows ``queries`` to those in ``rows``."""
        return self.normalisation.distances(
            self.directions(queries),
            self.embeddings[rows],
            self.cameras[rows],
            self._column("scale")[rows],
            self._column("square")[rows],
        )

    def travel_times_s(self, queries: Integers, rows: slice | Integers = slice(None)) -> Floats:
        """(Q, G) travel times of the tracklets in rows ``queries`` to those in ``rows``."""
        spans = self.spans
        return travel_times_s(spans[queries][:, None], spans[rows][None, :])

    # --- what changes it ---------------------------------------------------------------------

    def add(self, tracklet: Tracklet, settled_s: float) -> None:
        """Appends a tracklet, settled at that event time.

        Raises:
            ValueError: its number is not ``next``.
        """
        if tracklet.number != self.next:
            raise ValueError(f"tracklet {tracklet.number} out of order, {self.next} is next")
        row = self._low + len(self)
        columns = self._columns
        is_other_size = columns["embedding"].shape[1:] != tracklet.embedding.shape
        if row == len(columns["camera"]) or (is_other_size and not len(self)):
            row = self._make_room(len(tracklet.embedding))
            columns = self._columns
        columns["embedding"][row] = tracklet.embedding
        columns["camera"][row] = self._enter(tracklet.camera)
        columns["start_s"][row], columns["end_s"][row] = tracklet.start_s, tracklet.end_s
        columns["in_view_from_s"][row] = tracklet.in_view_from_s
        columns["square"][row] = tracklet.embedding @ tracklet.embedding
        columns["slot"][row] = NO_SLOT
        columns["comparable"][row] = True
        self._tracklets.append(tracklet)
        self._settled.append(settled_s)
        self._live.clear()
        self._scale(slice(len(self) - 1, None))

    def expire(self, before_s: float, keep: int) -> list[int]:
        """Takes out what settled before an event time and all but the newest ``keep``; their
        numbers, oldest first."""
        gone = []
        while self._tracklets and (self._settled[0] < before_s or len(self) > keep):
            tracklet = self._tracklets.popleft()
            self._leave(tracklet.camera)
            gone.append(tracklet.number)
            self._settled.popleft()
            self._low += 1
            self.first += 1
        self._live.clear()
        return gone

    def assign(self, number: int, slot: int) -> None:
        """Notes the slot of a tracklet's identity."""
        self._writable("slot")[number - self.first] = slot

    def normalise(self, normalisation: Normalisation) -> None:
        """Compares by another normalisation from here on."""
        self.normalisation = normalisation
        self.generation += 1
        self._scale(slice(None))

    def reembed(self, extractor: str, embeddings: Vectors, comparable: Mask) -> None:
        """Puts all tracklets into another extractor's version: ``embeddings`` (N, D), and which of
        them mean anything, (N,)."""
        self.generation += 1
        self._live.clear()
        capacity = len(self._columns["camera"])
        self._columns["embedding"] = np.zeros((capacity, embeddings.shape[1]), np.float32)
        self._writable("embedding")[:] = embeddings
        self._writable("square")[:] = np.einsum("nd,nd->n", embeddings, embeddings)
        self._writable("comparable")[:] = comparable
        self._tracklets = deque(
            replace(tracklet, embedding=embeddings[row], extractor=extractor)
            for row, tracklet in enumerate(self._tracklets)
        )

    def compare(self, numbers: Sequence[int], is_compared: bool) -> None:
        """From here on tracklets are compared with others, those that mean anything, or not."""
        rows = np.array(numbers, np.int64) - self.first
        self._writable("comparable")[rows] = is_compared & (self._column("square")[rows] > 0)

    def erase(self, numbers: Iterable[int]) -> None:
        """Leaves of tracklets that somebody was there: no look, no name, no identity. They are
        compared with nothing."""
        self.generation += 1
        self._live.clear()
        for number in numbers:
            row = number - self.first
            for name in ("embedding", "square"):
                self._writable(name)[row] = 0.0
            self._writable("slot")[row] = NO_SLOT
            self._writable("comparable")[row] = False
            self._tracklets[row] = replace(
                self._tracklets[row],
                embedding=np.zeros_like(self._tracklets[row].embedding),
                detection_ids=(f"erased-{number}",),
                track_id=None,
                box=None,
                position=None,
            )

    # --- snapshots ---------------------------------------------------------------------------

    def state(self) -> GalleryState:
        """Everything known, to go on from."""
        return GalleryState(
            self.first,
            list(self._cameras),
            list(self._tracklets),
            list(self._settled),
            self._column("scale"),
            self.slots,
            self.comparable,
            self.normalisation,
        )

    @classmethod
    def restore(cls, state: GalleryState) -> Gallery:
        """Goes on from ``state``."""
        made = cls()
        made.first = state.first
        made._cameras = list(state.cameras)
        made._names = None
        made._n_of_camera = [0] * len(state.cameras)
        made._camera_index = {name: i for i, name in enumerate(state.cameras) if name is not None}
        for tracklet, settled_s in zip(state.tracklets, state.settled_s, strict=True):
            made.add(tracklet, settled_s)
        made.normalisation = state.normalisation
        made._writable("scale")[:] = state.scales
        made._writable("slot")[:] = state.slots
        made._writable("comparable")[:] = state.comparable
        return made

    # --- cameras -----------------------------------------------------------------------------

    def _enter(self, camera: str) -> int:
        """Counts a tracklet of a camera; its index. A new camera gets the lowest free one, and
        nothing of what was learned about the camera that had it before."""
        index = self._camera_index.get(camera)
        if index is None:
            free = (i for i, name in enumerate(self._cameras) if name is None)
            index = next(free, len(self._cameras))
            if index == len(self._cameras):
                self._cameras.append(None)
                self._n_of_camera.append(0)
            self._cameras[index], self._names = camera, None
            self._camera_index[camera] = index
            self.normalisation = self.normalisation.without(index)
        self._n_of_camera[index] += 1
        return index

    def _leave(self, camera: str) -> None:
        index = self._camera_index[camera]
        self._n_of_camera[index] -= 1
        if not self._n_of_camera[index]:
            del self._camera_index[camera]
            self._cameras[index] = self._names = None

    # --- columns -----------------------------------------------------------------------------

    def _column(self, name: str) -> NDArray[Any]:
        """The live part of a column, to read."""
        live = self._live.get(name)
        if live is None:
            live = self._live[name] = self._writable(name)
            live.flags.writeable = False
        return live

    def _writable(self, name: str) -> NDArray[Any]:
        return self._columns[name][self._low : self._low + len(self)]

    def _scale(self, rows: slice) -> None:
        """Measures tracklets under the normalisation in force."""
        scales = self.normalisation.scales(self.embeddings[rows], self.cameras[rows])
        self._writable("scale")[rows] = scales

    def _make_room(self, dim: int) -> int:
        """Moves the live rows to the front of columns at least a half larger than they need; the
        row after them."""
        n = len(self)
        capacity = max(_MIN_CAPACITY, n + n // 2)
        for name in self._columns:
            shape = (capacity, dim) if name == "embedding" else (capacity,)
            column = np.zeros(shape, self._columns[name].dtype)
            if n:
                column[:n] = self._writable(name)
            self._columns[name] = column
        self._low = 0
        return n
