"""What a retraining trains on: batches of pseudo-pairs, or of tracks within each camera."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from stgal_stream.errors import DataError
from stgal_stream.extractor.onnx import OnnxExtractor
from stgal_stream.retraining.baseline import embed, embed_tracklets
from stgal_stream.retraining.data.pseudo_pairs import StreamData
from stgal_stream.retraining.intra_camera import IntraCameraSampler
from stgal_stream.retraining.job_settings import JobSettings
from stgal_stream.retraining.negatives import hard_negatives
from stgal_stream.training.batches import PseudoPair, Sampler
from stgal_stream.training.loader import Draws
from stgal_stream.training.trainer import TrainingSettings

Said = Callable[[str, int, int, str], None]


def prepare(
    baseline: OnnxExtractor, data: StreamData, split: int, settings: JobSettings, say: Said
) -> tuple[NDArray[np.float32], Draws]:
    """What the baseline sees of each sighting's best crop, and what to train on.

    Raises:
        DataError: there is too little.
    """
    if not data.sightings and data.left_out["out_of_retention"]:
        raise DataError(
            "the log holds no picture of those whom the stream saw",
            hint="retention took them, or the daemon runs with --no-crops: nothing can be trained",
        )
    pairs = [] if settings.within_cameras else _enough_pairs(data, split, settings)
    best = embed(baseline, data.crops, lambda d, t: say("embedding", d, t, ""))
    if settings.within_cameras:
        draws: Draws = IntraCameraSampler.like(
            settings.training, data.sightings[:split], data.crops.counts
        )
    else:
        draws = _across_cameras(baseline, pairs, data, split, settings.training, best, say)
    return best, draws


def _across_cameras(
    baseline: OnnxExtractor,
    pairs: list[PseudoPair],
    data: StreamData,
    split: int,
    training: TrainingSettings,
    best: NDArray[np.float32],
    say: Said,
) -> Draws:
    """Pseudo-pairs before the held-out times, with their hard negatives."""
    tracklets = embed_tracklets(
        baseline,
        data.crops[:split],
        data.known,
        best,
        lambda d, t: say("comparing", d, t, ""),
    )
    queries = sorted({row for p in pairs for row in (p.first, p.second)})
    negatives = hard_negatives(data.sightings[:split], tracklets, queries, training.seed)
    return Sampler(
        pairs,
        negatives,
        training.seed,
        training.n_pairs,
        data.crops.counts,
        training.n_views,
        weighted=training.weighted,
    )


def _enough_pairs(data: StreamData, split: int, settings: JobSettings) -> list[PseudoPair]:
    """The pairs to train on.

    Raises:
        DataError: there are too few.
    """
    pairs = pairs_before(data, split)
    if len(pairs) < settings.min_pairs:
        raise DataError(
            f"{len(pairs)} pseudo-pairs to train on, {settings.min_pairs} are needed "
            f"(left out: {dict(data.left_out) or 'none'})",
            hint="let the daemon run longer, lower --min-pairs, or begin --within-cameras",
        )
    return pairs


def pairs_before(data: StreamData, split: int) -> list[PseudoPair]:
    return [p for p in data.pairs if p.second < split]
