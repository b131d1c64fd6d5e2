"""The extractor that a retraining starts from, and what takes its form: embeddings, a network to
train, an export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from stgal_stream.extractor.crops import CropFormat
from stgal_stream.extractor.encoded_crops import EncodedCrops, ahead
from stgal_stream.extractor.onnx import OnnxExtractor
from stgal_stream.training.export import export
from stgal_stream.training.from_onnx import normalise_by
from stgal_stream.training.network import ResNet50

_BATCH = 64
_N_NORMALISED = 256
OnProgress = Callable[[int, int], None]


def embed(
    extractor: OnnxExtractor,
    crops: EncodedCrops,
    on_progress: OnProgress = lambda done, total: None,
) -> NDArray[np.float32]:
    """The best crop of each of N sightings: (N, D)."""
    return _embedded(extractor, crops, [(row, 0) for row in range(len(crops))], on_progress)


def embed_tracklets(
    extractor: OnnxExtractor,
    crops: EncodedCrops,
    known: Mapping[int, NDArray[np.float32]] | None = None,
    best: NDArray[np.float32] | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> NDArray[np.float32]:
    """The mean over each tracklet's crops, as the stream compares them: (N, D).

    What is known is not computed again: means by row that are ``known`` from the log, and the
    ``best`` crops' embeddings (N, D), as ``embed`` gives them.
    """
    known, all_counts = known or {}, crops.counts
    unknown = [row for row in range(len(crops)) if row not in known]
    counts = np.array([all_counts[row] for row in unknown], np.int64)
    wanted = [(row, view) for row, n in zip(unknown, counts, strict=True) for view in range(n)]
    means = np.zeros((len(crops), extractor.dim), np.float32)
    for row in known.keys() & set(range(len(crops))):
        means[row] = known[row]
    if unknown:
        firsts = np.cumsum([0, *counts[:-1]])
        every = np.zeros((len(wanted), extractor.dim), np.float32)
        is_wanted = np.ones(len(wanted), bool)
        if best is not None:
            every[firsts], is_wanted[firsts] = best[unknown], False
        missing = [at for at, is_missing in zip(wanted, is_wanted, strict=True) if is_missing]
        every[is_wanted] = _embedded(extractor, crops, missing, on_progress)
        means[unknown] = np.add.reduceat(every, firsts, axis=0) / counts[:, None]
    return means


def _embedded(
    extractor: OnnxExtractor,
    crops: EncodedCrops,
    wanted: list[tuple[int, int]],
    on_progress: OnProgress,
) -> NDArray[np.float32]:
    """One vector for each sighting's crop so numbered, decoded while the network computes."""
    found = [np.zeros((0, extractor.dim), np.float32)]
    chunks = [wanted[at : at + _BATCH] for at in range(0, len(wanted), _BATCH)]

    def decoded(chunk: list[tuple[int, int]]) -> NDArray[np.uint8]:
        rows, views = zip(*chunk, strict=True)
        return crops.pixels(rows, views, extractor.form)

    done = 0
    for pixels in ahead(decoded, chunks):
        found.append(extractor.embed(pixels))
        done += len(pixels)
        on_progress(done, len(wanted))
    return np.concatenate(found)


def make_trainable(network: ResNet50, crops: EncodedCrops, form: CropFormat) -> ResNet50:
    """A network out of an ONNX file (``network_of``), normalised by some crops at a format without
    changing what it computes, so that it can be trained on such crops."""
    normalise_by(network, torch.from_numpy(form.normalise(crops.some(_N_NORMALISED, form))))
    return network


def export_like(
    baseline: OnnxExtractor, network: ResNet50, path: Path, version: str, form: CropFormat
) -> None:
    """Writes the network as ONNX for crops of a format, all else as the baseline has it.

    Raises:
        ModelError: what was written differs from torch, or cannot be written.
    """
    export(
        network.cpu(),
        path,
        form,
        version=version,
        unit_length=baseline.unit_length,
        parent=baseline.version,
    )
