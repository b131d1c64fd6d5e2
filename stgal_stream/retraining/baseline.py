"""The extractor that a retraining starts from, and what takes its form: embeddings, a network to
train, an export."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from stgal_stream.extractor.export import export
from stgal_stream.extractor.from_onnx import network_of, normalise_by
from stgal_stream.extractor.network import ResNet50
from stgal_stream.extractor.onnx import OnnxExtractor

_BATCH = 64
_N_NORMALISED = 256


def embed(
    extractor: OnnxExtractor,
    pixels: NDArray[np.uint8],
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> NDArray[np.float32]:
    """(N, H, W, 3) uint8 -> (N, D)."""
    found = []
    for start in range(0, len(pixels), _BATCH):
        found.append(extractor.embed(pixels[start : start + _BATCH]))
        on_progress(min(start + _BATCH, len(pixels)), len(pixels))
    return np.concatenate(found) if found else np.zeros((0, extractor.dim), np.float32)


def embed_tracklets(
    extractor: OnnxExtractor,
    views: list[NDArray[np.uint8]],
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> NDArray[np.float32]:
    """The mean over each tracklet's crops (K, H, W, 3), as the stream compares them: (N, D)."""
    counts = [len(crops) for crops in views]
    every = embed(extractor, np.concatenate(views), on_progress)
    sums = np.add.reduceat(every, np.cumsum([0, *counts[:-1]]), axis=0)
    return np.asarray(sums / np.array(counts)[:, None], dtype=np.float32)


def network_from(baseline: OnnxExtractor, pixels: NDArray[np.uint8]) -> ResNet50:
    """The baseline as a network that can be trained, normalised by some of the crops (N, H, W, 3)
    without changing what it computes.

    Raises:
        ModelError: it is no export of a ResNet-50.
    """
    network = network_of(baseline.path)
    chosen = np.random.default_rng(0).permutation(len(pixels))[:_N_NORMALISED]
    normalise_by(network, torch.from_numpy(baseline.form.normalise(pixels[chosen])))
    return network


def export_like(baseline: OnnxExtractor, network: ResNet50, path: Path, version: str) -> None:
    """Writes the network as ONNX with the baseline's crop format.

    Raises:
        ModelError: what was written differs from torch, or cannot be written.
    """
    export(
        network.cpu(),
        path,
        height_px=baseline.form.height_px,
        width_px=baseline.form.width_px,
        version=version,
        unit_length=baseline.unit_length,
    )
