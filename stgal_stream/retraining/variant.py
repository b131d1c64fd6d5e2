"""Whether an extractor's 8-bit variant is good enough, by what the stream says of itself.

Law: a variant is kept only where its rank-1 was measured to lose less than half a point.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgal_stream.core.gallery.normalisation import camera_centred
from stgal_stream.evaluation.retrieval import Ranking
from stgal_stream.extractor.encoded_crops import EncodedCrops
from stgal_stream.extractor.onnx import OnnxExtractor, variant_path
from stgal_stream.extractor.releases import sha256_of
from stgal_stream.retraining.baseline import embed
from stgal_stream.retraining.data.pseudo_pairs import StreamData
from stgal_stream.training.batches import groups_of
from stgal_stream.training.quantised import quantise

MOST_LOST = 0.005
MOST_SIGHTINGS = 4000
_N_CALIBRATED = 192
MIN_QUERIES = int(2 / MOST_LOST)
OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Variant:
    """Rank-1 across cameras of the model and of its variant, among those whom pseudo-pairs tie
    together, over so many queries; whether the variant is kept, and why. Figures of 0 were not
    measured."""

    kept: bool
    why: str
    n_queries: int = 0
    rank1: float = 0.0
    rank1_eight_bit: float = 0.0
    sha256: str = ""

    def as_json(self) -> dict[str, Any]:
        """As a release keeps it."""
        return asdict(self)


def make_variant(
    model: OnnxExtractor,
    data: StreamData,
    calibrate_on: EncodedCrops,
    on_progress: OnProgress = lambda step, done, total: None,
    *,
    vectors: NDArray[np.float32] | None = None,
) -> Variant:
    """Makes the 8-bit variant of a model that was loaded in floats, calibrated on some crops, and
    puts it beside the model if it is good enough; if it is not, none stays
    there. It is asked of the newest 4,000 sightings, and needs 400 with a pair. ``vectors`` (M, D)
    are the model's embeddings of all sightings where they are there already.

    Raises:
        ModelError: the model cannot be quantised, or its variant does not work.
    """
    first = max(0, len(data.sightings) - MOST_SIGHTINGS)
    person, camera = _who_and_where(data, first)
    n = int((person > 0).sum())
    if n < MIN_QUERIES:
        why = f"{n} sightings with a pair across cameras are too few to measure its loss by"
        return Variant(False, f"{why} ({MIN_QUERIES} are needed)", n)
    on_progress("8 bits", 0, 1)
    with tempfile.TemporaryDirectory(dir=model.path.parent, prefix=".new-") as scratch:
        # Whoever loads the model meanwhile must not meet a variant that was not measured.
        link = Path(scratch) / model.path.name
        link.symlink_to(model.path.resolve())
        quantise(model, calibrate_on.some(_N_CALIBRATED, model.form), variant_path(link))
        variant = OnnxExtractor(link, providers=("CPUExecutionProvider",))
        eight_bit = embed(variant, data.crops[first:], partial(on_progress, "8 bits"))
        if vectors is None:
            floats = embed(model, data.crops[first:], partial(on_progress, "floats"))
        else:
            floats = vectors[first:]
        found = [_rank1(x, person, camera) for x in (floats, eight_bit)]
        kept = found[0] - found[1] < MOST_LOST
        path = variant_path(model.path)
        if kept:
            variant_path(link).replace(path)
        else:
            path.unlink(missing_ok=True)
    why = f"rank-1 {found[0]:.3f} -> {found[1]:.3f} over {n} sightings with a pair across cameras"
    return Variant(kept, why, n, found[0], found[1], sha256_of(path) if kept else "")


def _who_and_where(data: StreamData, first: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of the sightings from ``first`` on: a number for each group that pairs across cameras tie
    together, 0 for whoever is in none; and the camera."""
    place = [(s.site, s.camera) for s in data.sightings]
    across = [p for p in data.pairs if place[p.first] != place[p.second]]
    groups = groups_of([p for p in across if p.first >= first])
    number = {group: i for i, group in enumerate(sorted(set(groups.values())), start=1)}
    rows = range(first, len(data.sightings))
    person = np.array([number[groups[row]] if row in groups else 0 for row in rows])
    camera = np.unique(["\x00".join(at) for at in place[first:]], return_inverse=True)[1]
    return person, camera


def _rank1(
    vectors: NDArray[np.float32], person: NDArray[np.int64], camera: NDArray[np.int64]
) -> float:
    directions = camera_centred(vectors, camera).directions(vectors, camera)
    ranking = Ranking(person, camera)
    for row in np.flatnonzero(person > 0).tolist():
        likeness = directions @ directions[row]
        likeness[camera == camera[row]] = -np.inf  # matches lie across cameras
        ranking.add(likeness.astype(np.float64), int(person[row]), int(camera[row]))
    return ranking.result().rank(1)
