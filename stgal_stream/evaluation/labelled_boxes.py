"""Boxes and whose they are, whatever file they come from, and what their readers share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stgal_stream.errors import DataError


@dataclass(frozen=True, slots=True)
class LabelledBox:
    """``frame`` counts from 1, ``person`` is one over all cameras, ``box`` is left, top, right,
    bottom in pixels."""

    camera: str
    frame: int
    person: str
    box: tuple[float, float, float, float]


def overlaps(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of each with each, (N, M), of boxes (N, 4) and (M, 4)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0.0, None), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (first, second)]
    return np.asarray(shared / (areas[0][:, None] + areas[1][None, :] - shared))


def corners(
    left: float, top: float, width: float, height: float, where: str
) -> tuple[float, float, float, float]:
    """A box by its corners.

    Raises:
        DataError: it has no area, or a coordinate that is no number.
    """
    found = (left, top, left + width, top + height)
    if not np.isfinite(found).all() or width <= 0 or height <= 0:
        raise DataError(f"{where}: the box has no area, or a coordinate that is no number")
    return found


def bytes_of(path: Path) -> bytes:
    """What a file holds.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
