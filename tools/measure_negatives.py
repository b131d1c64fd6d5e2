#!/usr/bin/env python
"""How near the negatives of a training are, hard ones and random ones, on a demo's own stream.

tools/measure_negatives.py build/demo model.onnx

The loss takes the nearest crop of another person in the batch, whoever was drawn for whom. So: the
mean distance of a query to the negatives that are drawn for it, the share of them that are the
query's own person (by the simulation's truth), and the mean distance to the nearest negative of its
batch, by pairs in a batch. The first is in units of the median distance of the whole window, the
last of the batch's own, as the loss scales it.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from stgal_stream.configuration import load_config
from stgal_stream.experiments.pair_choice import random_negatives
from stgal_stream.extractor.onnx import OnnxExtractor
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.retraining.baseline import embed_tracklets
from stgal_stream.retraining.data.sources import LogSource
from stgal_stream.retraining.negatives import hard_negatives
from stgal_stream.training.batches import Sampler


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("demo", type=Path, help="the demo's --out")
    parser.add_argument("model", type=Path)
    parser.add_argument("--batch-pairs", type=int, nargs="+", default=[2, 3, 10, 30])
    parser.add_argument("--batches", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with (args.demo / "truth.csv").open() as lines:
        truth = {row["detection_id"]: int(row["person_id"]) for row in csv.DictReader(lines)}
    log = EmbeddedLog(args.demo / "log")
    source = LogSource(log, load_config(None, {}).topics)
    extractor = OnnxExtractor(args.model)
    data = source.read(source.until(), extractor, 20_000)
    log.close()
    person = np.array([truth[s.id] for s in data.sightings])
    vectors = embed_tracklets(extractor, data.crops, data.known)
    queries = sorted({row for p in data.pairs for row in (p.first, p.second)})
    print(f"{len(data.pairs)} pairs of {len(queries)} sightings, seed {args.seed}")
    for name, negatives in (
        ("hard", hard_negatives(data.sightings, vectors, queries, args.seed)),
        ("random", random_negatives(data.sightings, queries, args.seed)),
    ):
        own = np.mean([np.mean(person[rows] == person[row]) for row, rows in negatives.items()])
        drawn = np.mean(
            [
                np.linalg.norm(vectors[rows] - vectors[row], axis=1).mean()
                for row, rows in negatives.items()
            ]
        )
        print(f"{name}: drawn at {drawn / median_distance(vectors):.2f}, {own:.4f} the query's own")
        for n_pairs in args.batch_pairs:
            sampler = Sampler(data.pairs, negatives, args.seed, n_pairs, data.crops.counts, 2)
            batches = [sampler.batch(number)[0] for number in range(args.batches)]
            nearest = np.mean([nearest_negative(vectors[b.rows], b.other) for b in batches])
            size = np.mean([len(b.rows) for b in batches])
            print(f"  {n_pairs} pairs, {size:.0f} crops: nearest at {nearest:.3f}")


def median_distance(vectors: np.ndarray) -> float:
    """Over some of all pairs."""
    first, second = np.random.default_rng(0).integers(0, len(vectors), (2, 20_000))
    return float(np.median(np.linalg.norm(vectors[first] - vectors[second], axis=1)))


def nearest_negative(vectors: np.ndarray, other: np.ndarray) -> float:
    """Mean over a batch's crops, in units of its median distance."""
    distance = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    median = np.median(distance[np.triu_indices(len(distance), 1)])
    usable = other.any(axis=1)
    return float(np.where(other, distance, np.inf).min(axis=1)[usable].mean() / median)


if __name__ == "__main__":
    main()
