"""Vectors in 8 bits beside those in full: a quarter of the bytes, and by how much each may mislead.

A row is a step times integers u of -127 to 127, and so is a query, a step times v. The product of a
row x with a query q is then known to |x - su| |q| + |su| |q - tv| (Cauchy, Schwarz).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numkong
import numpy as np
from numpy.typing import NDArray

from stgal_stream.types import Floats, Vectors

_LEVELS = 127
_UNDERFLOW = 1e-37  # more than what numbers too small for float32 add up to


class QuantisedFile:
    """Rows of a file that grows, (N, D): the integers of each, its step, error and length."""

    def __init__(self, path: Path, dimension: int) -> None:
        self._path = path
        self._kind = _kind(dimension)
        self._file = path.open("r+b" if path.exists() else "w+b", buffering=0)
        self._rounding = (dimension + 4) * float(np.finfo(np.float32).eps)
        self._rows = np.zeros(0, self._kind)

    def grow(self, room: int) -> None:
        """Makes room for so many rows."""
        self._file.truncate(room * self._kind.itemsize)
        self._rows = np.memmap(self._path, self._kind, mode="r", shape=(room,))

    def put(self, slot: int, vectors: Vectors) -> None:
        """Writes rows (n, D) from a slot on."""
        self._file.seek(slot * self._kind.itemsize)
        self._file.write(quantised(vectors).tobytes())

    def products(self, rows: slice, query: NDArray[Any]) -> tuple[Floats, Floats]:
        """Products (n,) of some rows with a query, and by how much each may differ (n,) from that
        of the vectors themselves as float32 arithmetic has it, in any order of summation."""
        some = self._rows[rows]
        codes = np.asarray(numkong.cdist(query["codes"], some["codes"], "dot"))[0]
        error, length = some["error"].astype(np.float64), some["length"].astype(np.float64)
        step, off, size = (float(query[name][0]) for name in ("step", "error", "length"))
        wrong = error * size + (length + error) * off
        wrong += self._rounding * size * length + _UNDERFLOW
        return codes * (some["step"] * np.float64(step)), wrong

    def close(self) -> None:
        """Lets go of the file."""
        self._file.close()


def quantised(vectors: Vectors) -> NDArray[Any]:
    """Vectors (n, D) as rows of the file."""
    exact = np.asarray(vectors, np.float64)
    rows = np.zeros(len(exact), _kind(exact.shape[1]))
    rows["step"] = np.abs(exact).max(axis=1) / _LEVELS
    step = rows["step"].astype(np.float64)[:, None]
    scaled = np.divide(exact, step, out=np.zeros_like(exact), where=step > 0)
    rows["codes"] = np.clip(np.rint(scaled), -_LEVELS, _LEVELS)
    rows["error"] = _at_least(np.linalg.norm(exact - step * rows["codes"], axis=1))
    rows["length"] = _at_least(np.linalg.norm(exact, axis=1))
    return rows


def _kind(dimension: int) -> np.dtype[Any]:
    numbers = [(name, "<f4") for name in ("step", "error", "length")]
    return np.dtype([*numbers, ("codes", "i1", (dimension,))])


def _at_least(values: Floats) -> Vectors:
    """In float32, never less than it was."""
    up: Vectors = np.nextafter(values.astype(np.float32), np.float32(np.inf))
    return up * (values > 0)
