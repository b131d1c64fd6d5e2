"""Whether an extractor's 8-bit variant is good enough, by what the stream says of itself.

The law: a variant is kept only where its rank-1 was measured to lose less than half a point.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgal_stream.core.view import centred_view
from stgal_stream.errors import ModelError
from stgal_stream.evaluation.retrieval import Ranking
from stgal_stream.extractor.onnx import OnnxExtractor
from stgal_stream.extractor.quantised import quantise
from stgal_stream.extractor.releases import sha256_of
from stgal_stream.retraining.baseline import embed
from stgal_stream.retraining.batches import groups_of
from stgal_stream.retraining.pseudo_pairs import StreamData

MOST_LOST = 0.005
_MOST_SIGHTINGS = 4000
_MIN_QUERIES = int(2 / MOST_LOST)
OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Variant:
    """Rank-1 across cameras of the model and of its variant, among those whom pseudo-pairs tie
    together, over so many queries; and whether the variant is kept."""

    rank1: float
    rank1_eight_bit: float
    n_queries: int
    kept: bool
    sha256: str = ""

    def as_json(self) -> dict[str, Any]:
        """As a release keeps it."""
        return asdict(self)


def make_variant(
    model: OnnxExtractor,
    data: StreamData,
    calibrate_on: NDArray[np.uint8],
    on_progress: OnProgress = lambda step, done, total: None,
) -> Variant:
    """Makes the 8-bit variant of a model that was loaded in floats, calibrated on crops
    (N, H, W, 3), and keeps it beside the model if it is good enough. It is asked of the newest
    4,000 sightings, and needs 400 with a pair.

    Raises:
        ModelError: the model cannot be quantised, or its variant does not work.
    """
    first = max(0, len(data.sightings) - _MOST_SIGHTINGS)
    person, camera = _who_and_where(data, first)
    n = int((person > 0).sum())
    if n < _MIN_QUERIES:
        return Variant(0.0, 0.0, n, kept=False)
    on_progress("8 bits", 0, 1)
    path = quantise(model, calibrate_on)
    try:
        variant = OnnxExtractor(model.path, providers=("CPUExecutionProvider",))
    except ModelError:
        path.unlink()
        raise
    found = []
    for name, extractor in (("floats", model), ("8 bits", variant)):
        vectors = embed(extractor, data.pixels[first:], partial(on_progress, name))
        found.append(_rank1(vectors, person, camera))
    kept = found[0] - found[1] < MOST_LOST
    if not kept:
        path.unlink()
    return Variant(found[0], found[1], n, kept, sha256_of(path) if kept else "")


def _who_and_where(data: StreamData, first: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of the sightings from ``first`` on: a number for each group that pairs tie together, 0 for
    whoever is in none; and the camera."""
    groups = groups_of([p for p in data.pairs if p.first >= first])
    number = {group: i for i, group in enumerate(sorted(set(groups.values())), start=1)}
    rows = range(first, len(data.sightings))
    person = np.array([number[groups[row]] if row in groups else 0 for row in rows])
    cameras = [f"{data.sightings[row].site}\x00{data.sightings[row].camera}" for row in rows]
    return person, np.unique(cameras, return_inverse=True)[1]


def _rank1(
    vectors: NDArray[np.float32], person: NDArray[np.int64], camera: NDArray[np.int64]
) -> float:
    directions = centred_view(vectors, camera).directions(vectors, camera)
    ranking = Ranking(person, camera)
    for row in np.flatnonzero(person > 0).tolist():
        likeness = directions @ directions[row]
        likeness[camera == camera[row]] = -np.inf  # matches lie across cameras
        ranking.add(likeness.astype(np.float64), int(person[row]), int(camera[row]))
    return ranking.result().rank(1)
