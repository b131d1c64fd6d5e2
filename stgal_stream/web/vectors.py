"""The vectors of sightings in files, and the exact search among them.

One file for each extractor and size, a row of float32 a sighting. Rows of what was forgotten are
overwritten with zeros and used again.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stgal_stream.core.gallery.normalisation import Normalisation, camera_centred
from stgal_stream.types import Integers, Vector, Vectors

_GROWTH = 1.25  # means of cameras are taken again when so many more are known
_SAMPLE = 50_000  # sightings whose mean is a camera's
_BLOCK = 65_536  # rows that are multiplied at once
NOBODY = -1


@dataclass(frozen=True, slots=True)
class Place:
    """Whose row it is: the sighting's number, its site and camera by name."""

    number: int
    site: str
    camera: str


class VectorFile:
    """All vectors of one extractor, (N, D) float32, in a file that grows."""

    def __init__(self, path: Path, dimension: int) -> None:
        self._path = path
        self.dimension = dimension
        self._lock = threading.Lock()
        self._file = path.open("r+b" if path.exists() else "w+b", buffering=0)
        self._free: list[int] = []
        self._places: dict[tuple[str, str], int] = {}
        self._n = self._n_fitted = 0
        self._numbers: Integers = np.full(0, NOBODY, np.int64)
        self._cameras: Integers = np.zeros(0, np.int64)
        self._sites: Integers = np.zeros(0, np.int64)
        self._scales: Vectors = np.ones(0, np.float32)
        self._means: Vectors = np.zeros((1, dimension), np.float32)
        self._mapped: Vectors = np.zeros((0, dimension), np.float32)
        self._site_numbers: dict[str, int] = {}

    # --- rows --------------------------------------------------------------------------------

    def load(self, slots: Sequence[int], places: Sequence[Place]) -> None:
        """What is known already, after a start."""
        with self._lock:
            self._grow(max(slots, default=-1) + 1)
            for slot, place in zip(slots, places, strict=True):
                self._note(slot, place)
            used = set(slots)
            self._free = [slot for slot in range(self._n) if slot not in used]

    def write(self, vector: Vector) -> int:
        """Writes a vector and gives its slot. Nobody finds it before ``place``."""
        with self._lock:
            slot = self._free.pop() if self._free else self._n
            self._grow(slot + 1)
            self._put(slot, vector)
            return slot

    def place(self, slot: int, place: Place) -> None:
        """Says whose the vector in a slot is."""
        with self._lock:
            self._note(slot, place)
            row = slice(slot, slot + 1)
            self._scales[row] = _scales(self._mapped[row], self._cameras[row], self._means)

    def forget(self, slots: Sequence[int]) -> None:
        """Overwrites vectors."""
        with self._lock:
            for slot in slots:
                self._put(slot, np.zeros(self.dimension, np.float32))
                self._numbers[slot] = NOBODY
                self._free.append(slot)

    def n_of(self, site: str) -> int:
        """How many sightings of a site can be found."""
        with self._lock:
            mine = self._sites[: self._n] == self._site_numbers.get(site, -1)
            return int((mine & (self._numbers[: self._n] >= 0)).sum())

    def vector(self, slot: int) -> Vector:
        """One vector, (D,)."""
        return np.array(self._mapped[slot])

    def close(self) -> None:
        """Lets go of the file."""
        self._file.close()

    def _put(self, slot: int, vector: Vector) -> None:
        self._file.seek(slot * self.dimension * 4)
        self._file.write(np.asarray(vector, dtype="<f4").tobytes())

    def _grow(self, n: int) -> None:
        self._n = max(self._n, n)
        if self._n > len(self._mapped):
            room = max(1024, 2 * self._n)
            self._file.truncate(room * self.dimension * 4)
            self._mapped = np.memmap(
                self._path, dtype="<f4", mode="r", shape=(room, self.dimension)
            )
            more = room - len(self._numbers)
            self._numbers = np.concatenate([self._numbers, np.full(more, NOBODY, np.int64)])
            self._cameras = np.concatenate([self._cameras, np.zeros(more, np.int64)])
            self._sites = np.concatenate([self._sites, np.zeros(more, np.int64)])
            self._scales = np.concatenate([self._scales, np.ones(more, np.float32)])

    def _note(self, slot: int, place: Place) -> None:
        camera = self._places.setdefault((place.site, place.camera), len(self._places))
        self._numbers[slot] = place.number
        self._cameras[slot] = camera
        self._sites[slot] = self._site_numbers.setdefault(place.site, len(self._site_numbers))

    # --- search ------------------------------------------------------------------------------

    def nearest(
        self, vector: Vector, site: str, camera: str | None, n: int
    ) -> list[tuple[int, float]]:
        """Numbers and distances of the ``n`` sightings of a site that are nearest to a vector (D,),
        nearest first, as the tracker compares them: camera-centred and of length 1 (0 to 2). A
        ``camera`` that is None has the mean of all."""
        with self._lock:
            used, mapped, means = self._n, self._mapped, self._means
            mine = self._numbers[:used] >= 0
            mine &= self._sites[:used] == self._site_numbers.get(site, -1)
            cameras, numbers = self._cameras[:used].copy(), self._numbers[:used].copy()
            scales = self._scales[:used].copy()
            row = self._places.get((site, camera or ""), len(means) - 1)
        query = vector - means[min(row, len(means) - 1)]
        query /= max(float(np.linalg.norm(query)), 1e-12)
        closeness = np.concatenate(
            [mapped[at : at + _BLOCK] @ query for at in range(0, used, _BLOCK)]
            or [np.zeros(0, np.float32)]
        )[:used]
        closeness -= (means @ query)[np.minimum(cameras, len(means) - 1)]
        closeness *= scales
        closeness[~mine] = -np.inf
        best = _largest(closeness, min(n, int(mine.sum())))
        apart = np.sqrt(np.maximum(2.0 - 2.0 * closeness[best], 0.0))
        return list(zip(numbers[best].tolist(), apart.astype(float).tolist(), strict=True))

    def fit(self) -> None:
        """Takes the cameras' means, and each row's length as seen from its camera's, once many more
        rows are known. For the one thread that writes; searches go on meanwhile."""
        n = self._n
        if n < _GROWTH * self._n_fitted:
            return
        known = np.flatnonzero(self._numbers[:n] >= 0)
        if not len(known):
            return
        sample = known[:: max(1, len(known) // _SAMPLE)]
        means = camera_centred(np.asarray(self._mapped[sample]), self._cameras[sample]).means
        assert means is not None
        scales = np.ones(n, np.float32)
        for at in range(0, n, _BLOCK):
            rows = slice(at, min(at + _BLOCK, n))
            scales[rows] = _scales(self._mapped[rows], self._cameras[rows], means)
        with self._lock:
            self._means, self._n_fitted = means, n
            self._scales[:n] = scales


def _scales(vectors: Vectors, cameras: Integers, means: Vectors) -> Vectors:
    """One over each length, as seen from the camera's mean."""
    return Normalisation(means).scales(vectors, cameras)


def _largest(values: Vectors, n: int) -> Integers:
    """Places of the ``n`` largest, largest first; of equal ones the first."""
    if n < len(values):
        limit = np.partition(values, len(values) - n)[len(values) - n] if n else np.inf
        found = np.flatnonzero(values >= limit)
    else:
        found = np.arange(len(values))
    return found[np.argsort(-values[found], kind="stable")][:n]
