"""The vectors of sightings in files, and the exact search among them.

Two files for each extractor and size, a row a sighting: in float32, and in 8 bits for the search
(``quantised``). Rows of what was forgotten are overwritten with zeros and used again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stgal_stream.core.gallery.normalisation import Normalisation, camera_centred
from stgal_stream.types import Integers, Vector, Vectors
from stgal_stream.web.quantised import QuantisedFile
from stgal_stream.web.scan import Rows, Scan, largest

_GROWTH = 1.25  # means of cameras are taken again when so many more are known
_SAMPLE = 50_000  # sightings whose mean is a camera's
_BLOCK = 65_536  # rows whose lengths are taken at once
_ALONE = 50_000  # rows that are gone through sooner than another thread would have begun
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
        self._quantised = QuantisedFile(path.with_suffix(".i8"), dimension)
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
        self._since: list[int] | None = None  # slots that were placed since a fit began

    # --- rows --------------------------------------------------------------------------------

    def load(self, chunks: Iterable[Sequence[tuple[int, int, str, str]]]) -> None:
        """What is known already, after a start and before any ``write``: rows of slot, number, site
        and camera, some at a time, so that other threads get their turn in between."""
        for rows in chunks:
            slots, numbers, sites, cameras = zip(*rows, strict=True)
            with self._lock:
                self._grow(max(slots) + 1)
                at = np.array(slots)
                self._numbers[at] = numbers
                self._cameras[at] = [
                    self._camera(*place) for place in zip(sites, cameras, strict=True)
                ]
                self._sites[at] = [self._site(site) for site in sites]
        with self._lock:
            self._free = np.flatnonzero(self._numbers[: self._n] == NOBODY).tolist()

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
            if self._since is not None:
                self._since.append(slot)

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
        """Lets go of the files."""
        self._file.close()
        self._quantised.close()

    def _put(self, slot: int, vector: Vector) -> None:
        self._file.seek(slot * self.dimension * 4)
        self._file.write(np.asarray(vector, dtype="<f4").tobytes())
        self._quantised.put(slot, vector[None])

    def _grow(self, n: int) -> None:
        self._n = max(self._n, n)
        if self._n > len(self._mapped):
            room = max(1024, 2 * self._n)
            self._file.truncate(room * self.dimension * 4)
            self._mapped = np.memmap(
                self._path, dtype="<f4", mode="r", shape=(room, self.dimension)
            )
            self._quantised.grow(room)
            more = room - len(self._numbers)
            self._numbers = np.concatenate([self._numbers, np.full(more, NOBODY, np.int64)])
            self._cameras = np.concatenate([self._cameras, np.zeros(more, np.int64)])
            self._sites = np.concatenate([self._sites, np.zeros(more, np.int64)])
            self._scales = np.concatenate([self._scales, np.ones(more, np.float32)])

    def _note(self, slot: int, place: Place) -> None:
        self._numbers[slot] = place.number
        self._cameras[slot] = self._camera(place.site, place.camera)
        self._sites[slot] = self._site(place.site)

    def _camera(self, site: str, camera: str) -> int:
        """The number of a camera; a new one gets the next."""
        return self._places.setdefault((site, camera), len(self._places))

    def _site(self, site: str) -> int:
        """The same of a site."""
        return self._site_numbers.setdefault(site, len(self._site_numbers))

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
        offsets = (means @ query)[np.minimum(cameras, len(means) - 1)]
        rows = Rows(mapped, self._quantised, offsets, scales, mine)
        found, closeness = _closest(rows, query, min(n, int(mine.sum())))
        apart = np.sqrt(np.maximum(2.0 - 2.0 * closeness, 0.0))
        return list(zip(numbers[found].tolist(), apart.astype(float).tolist(), strict=True))

    @property
    def is_to_fit(self) -> bool:
        """Whether many more rows are known than when cameras' means were taken."""
        return self._n >= max(_GROWTH * self._n_fitted, 1)

    def __len__(self) -> int:
        return self._n

    def fit(self) -> None:
        """Takes the cameras' means, and each row's length as seen from its camera's, once many more
        rows are known. For one thread at a time; writing and searching go on meanwhile."""
        if not self.is_to_fit:
            return
        with self._lock:
            self._since = []
            n, mapped, cameras = self._n, self._mapped, self._cameras
            known = np.flatnonzero(self._numbers[:n] >= 0)
        if not len(known):
            return
        sample = known[:: max(1, len(known) // _SAMPLE)]
        means = camera_centred(np.asarray(mapped[sample]), cameras[sample]).means
        assert means is not None
        scales = np.ones(n, np.float32)
        for at in range(0, n, _BLOCK):
            rows = slice(at, min(at + _BLOCK, n))
            scales[rows] = _scales(mapped[rows], cameras[rows], means)
        with self._lock:
            self._means, self._n_fitted = means, n
            self._scales[:n] = scales
            late, self._since = self._since, None
            self._scales[late] = _scales(self._mapped[late], self._cameras[late], means)


def _scales(vectors: Vectors, cameras: Integers, means: Vectors) -> Vectors:
    """One over each length, as seen from the camera's mean."""
    return Normalisation(means).scales(vectors, cameras)


def _closest(rows: Rows, query: Vector, n: int) -> tuple[Integers, Vector]:
    """Rows (n,) that are closest to a query, closest first, of equal ones the first; and their
    closeness. Each core goes through a part of them."""
    if not n:
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    total = len(rows.mine)
    n_parts = max(1, min(len(os.sched_getaffinity(0)), total // _ALONE))
    bounds = [total * part // n_parts for part in range(n_parts + 1)]
    with ThreadPoolExecutor(n_parts) as pool:
        scans = list(
            pool.map(lambda *part: Scan(rows, query, n).run(*part), bounds[:-1], bounds[1:])
        )
    found = np.concatenate([scan.found for scan in scans])
    closeness = np.concatenate([scan.closeness for scan in scans])
    best = largest(closeness, n)
    return found[best], closeness[best]
