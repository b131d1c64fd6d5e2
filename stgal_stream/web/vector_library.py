"""All vector files of a read model: one for each extractor and size."""

from __future__ import annotations

import sqlite3
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from stgal_stream.types import Vector
from stgal_stream.web.vectors import VectorFile

_CHUNK = 2000  # rows that are read at once
_AT_ONCE = 100_000  # rows whose means are taken in less than a second


class VectorLibrary:
    """Opened with the connection of the writer, which tells what each row is."""

    def __init__(self, directory: Path, connection: sqlite3.Connection) -> None:
        self._directory = directory
        self._numbers: dict[tuple[str, int], int] = {}
        self._files: dict[int, VectorFile] = {}
        self._fitter = ThreadPoolExecutor(1, "means")
        self._fitting: Future[None] | None = None
        found = connection.execute("SELECT number, version, dimension FROM extractor").fetchall()
        for number, version, dimension in found:
            self._numbers[version, dimension] = number
            file = self._opened(number, dimension)
            rows = connection.execute(
                "SELECT slot, number, site, camera FROM sighting "
                "WHERE extractor = ? AND slot IS NOT NULL",
                (number,),
            )
            file.load(iter(partial(rows.fetchmany, _CHUNK), []))
            file.fit()

    def number(self, connection: sqlite3.Connection, version: str, dimension: int) -> int:
        """The number of an extractor; a new one gets the next."""
        known = self._numbers.get((version, dimension))
        if known is None:
            cursor = connection.execute(
                "INSERT OR IGNORE INTO extractor (version, dimension) VALUES (?, ?)",
                (version, dimension),
            )
            known = self._numbers[version, dimension] = int(cursor.lastrowid or 0)
        if known not in self._files:
            self._opened(known, dimension)
        return known

    def undo(self, connection: sqlite3.Connection) -> None:
        """After a transaction that failed: an extractor whose number it gave has none."""
        kept = {row[0] for row in connection.execute("SELECT number FROM extractor")}
        self._numbers = {key: n for key, n in self._numbers.items() if n in kept}

    def extractors(self) -> list[tuple[int, str, int]]:
        """Number, version and dimension of each, oldest first."""
        return [(n, version, d) for (version, d), n in sorted(self._numbers.items(), key=_by_age)]

    def file(self, number: int) -> VectorFile:
        """The vectors of one extractor."""
        return self._files[number]

    def fit(self) -> None:
        """After many were placed: cameras' means are taken again. Where that takes seconds, the
        follower goes on meanwhile."""
        if self._fitting is not None and not self._fitting.done():
            return
        if self._fitting is not None:
            self._fitting.result()
            self._fitting = None
        for file in self._files.values():
            if len(file) < _AT_ONCE:
                file.fit()
            elif file.is_to_fit:
                self._fitting = self._fitter.submit(file.fit)
                return

    def close(self) -> None:
        """Lets go of all files."""
        self._fitter.shutdown()
        for file in self._files.values():
            file.close()

    def _opened(self, number: int, dimension: int) -> VectorFile:
        file = VectorFile(self._directory / f"vectors-{number}.f32", dimension)
        self._files[number] = file
        return file


def _by_age(entry: tuple[tuple[str, int], int]) -> int:
    return entry[1]


def mean_vector(found: list[tuple[bytes, float]]) -> Vector:
    """The mean of some detections' vectors by their weights, as a tracklet has it."""
    vectors = np.stack([np.frombuffer(vector, dtype="<f4") for vector, _ in found])
    weights = np.array([weight for _, weight in found])
    if not weights.sum() > 0:
        weights = np.ones(len(found))
    mean: Vector = np.average(vectors, axis=0, weights=weights).astype(np.float32)
    return mean
