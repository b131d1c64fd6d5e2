#!/usr/bin/env python
"""What bad crops cost a track, and what weighing crops by their detail gains back:
`tools/measure_crop_quality.py [--people 120] [--seed 1]`.

Rendered people before four cameras, five crops a track, embedded by the shipped extractor. A share
of the crops is spoilt: too dark, a few pixels large, blurred, or half behind somebody else. Of each
kind: mAP and rank-1 of tracks across cameras by their mean, plain, weighted by detail, by detail
and what boxes hide (as the tracker does where it is given boxes), and by the crops that were not
spoilt alone.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from rich.console import Console
from rich.table import Table

from stgal_stream.experiments.simulation.people import random_person
from stgal_stream.experiments.simulation.renderer import random_look, random_pose, render
from stgal_stream.extractor.crops import decode_crop, detail, weight_of
from stgal_stream.extractor.onnx import SHIPPED, OnnxExtractor

CAMERAS, CROPS = 4, 5
Picture = NDArray[np.uint8]


def dark(crop: Picture, other: Picture, rng: np.random.Generator) -> Picture:
    """A twentieth of the light, with the sensor's noise."""
    level = crop * rng.uniform(0.03, 0.08) + rng.normal(0, 1.5, crop.shape)
    return np.clip(level, 0, 255).astype(np.uint8)


def tiny(crop: Picture, other: Picture, rng: np.random.Generator) -> Picture:
    """Two to eight pixels wide."""
    wide = int(rng.integers(2, 9))
    return np.asarray(Image.fromarray(crop).resize((wide, 2 * wide), Image.Resampling.BOX))


def blurred(crop: Picture, other: Picture, rng: np.random.Generator) -> Picture:
    """Out of focus or moved, by a twentieth to a sixth of the height."""
    radius = rng.uniform(0.03, 0.1) * crop.shape[0]
    return np.asarray(Image.fromarray(crop).filter(ImageFilter.GaussianBlur(radius)))


def covered(crop: Picture, other: Picture, rng: np.random.Generator) -> Picture:
    """Half behind somebody else."""
    made, half = crop.copy(), crop.shape[1] // 2
    made[:, half:] = other[:, half // 2 : half // 2 + crop.shape[1] - half]
    return made


KINDS: dict[str, Callable[[Picture, Picture, np.random.Generator], Picture]] = {
    "dark": dark,
    "tiny": tiny,
    "blurred": blurred,
    "covered": covered,
}


def encoded(crop: Picture) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(crop).save(stream, "JPEG", quality=85)
    return stream.getvalue()


def retrieval(means: NDArray[np.float64]) -> tuple[float, float]:
    """mAP and rank-1 of tracks (P, C, D) against those of the other cameras."""
    n, cameras, _ = means.shape
    flat = means.reshape(n * cameras, -1)
    flat = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    person, camera = np.divmod(np.arange(n * cameras), cameras)
    precision, first = [], []
    for row in range(n * cameras):
        others = np.flatnonzero(camera != camera[row])
        ranked = others[np.argsort(-(flat[others] @ flat[row]), kind="stable")]
        hits = np.flatnonzero(person[ranked] == person[row])
        precision.append(np.mean((np.arange(len(hits)) + 1) / (hits + 1)))
        first.append(hits[0] == 0)
    return float(np.mean(precision)), float(np.mean(first))


def weighted(vectors: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means (P, C, D) of vectors (P, C, K, D) by weights (P, C, K)."""
    total = np.maximum(weights.sum(axis=2, keepdims=True), 1e-12)
    return np.asarray(((weights / total)[..., None] * vectors).sum(axis=2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("--people", type=int, default=120)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--share", type=float, default=0.4, help="of crops that are spoilt")
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    extractor = OnnxExtractor(SHIPPED)
    looks = [random_look(rng) for _ in range(CAMERAS)]
    people = [random_person(rng) for _ in range(args.people)]
    crops = [
        render(person, look, random_pose(look, rng, occlusion=0.0), rng)
        for person in people
        for look in looks
        for _ in range(CROPS)
    ]
    spoilt = rng.random(len(crops)) < args.share
    shape = args.people, CAMERAS, CROPS
    columns = "spoilt crops", "plain", "by detail", "and by boxes", "unspoilt alone"
    table = Table(*columns, title="mAP / rank-1")
    for name, spoil in KINDS.items():
        pictures = [
            encoded(spoil(crop, crops[int(rng.integers(len(crops)))], rng) if bad else crop)
            for crop, bad in zip(crops, spoilt, strict=True)
        ]
        pixels = np.stack(
            [decode_crop(p, extractor.form, max_bytes=10**7, max_pixels=10**7) for p in pictures]
        )
        parts = [extractor.embed(pixels[at : at + 64]) for at in range(0, len(pixels), 64)]
        vectors = np.concatenate(parts).astype(np.float64).reshape(*shape, -1)
        by_detail = np.array([weight_of(detail(crop)) for crop in pixels]).reshape(shape)
        hidden = 0.5 * spoilt.reshape(shape) if name == "covered" else 0.0
        unspoilt = 1.0 - spoilt.reshape(shape) + 1e-9
        rows = (np.ones(shape), by_detail, by_detail * (1.0 - hidden), unspoilt)
        cells = ["{:.3f} / {:.3f}".format(*retrieval(weighted(vectors, w))) for w in rows]
        table.add_row(name, *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
