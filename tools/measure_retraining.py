#!/usr/bin/env python
"""What extractors are worth on a demo's own crops, by the simulation's truth.

tools/measure_retraining.py build/demo model.onnx [releases/retrained-…/model.onnx]

Rank-1 and mAP across cameras, one crop a tracklet: of all sightings, and of the newest 30 %, which
``retrain`` holds out; and the share of the stream's pseudo-pairs that is right.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from stgal_stream.config import load_config
from stgal_stream.evaluation.retrieval import Ranking
from stgal_stream.extractor.onnx import OnnxExtractor
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.retraining.baseline import embed
from stgal_stream.retraining.pseudo_pairs import ends, read_stream

HELD_OUT = 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("demo", type=Path, help="the demo's --out")
    parser.add_argument("models", type=Path, nargs="+")
    args = parser.parse_args()
    with (args.demo / "truth.csv").open() as lines:
        truth = {row["detection_id"]: int(row["person_id"]) for row in csv.DictReader(lines)}
    log = EmbeddedLog(args.demo / "log")
    topics = load_config(None, {}).topics
    read = (topics.identities, topics.associations, topics.embeddings)
    until = ends(log, list(read))
    for model in args.models:
        extractor = OnnxExtractor(model)
        data = read_stream(log, *read, until, extractor.form)
        person = np.array([truth[s.id] for s in data.sightings])
        camera = np.unique([s.camera for s in data.sightings], return_inverse=True)[1]
        vectors = embed(extractor, data.pixels)
        right = np.mean([person[p.first] == person[p.second] for p in data.pairs])
        print(f"{extractor.version}: {len(data.pairs)} pseudo-pairs, {right:.3f} right")
        for name, start in (("all", 0), ("held out", int(len(person) * (1 - HELD_OUT)))):
            print(f"  {name:<9}{score(vectors[start:], person[start:], camera[start:])}")
    log.close()


def score(vectors: np.ndarray, person: np.ndarray, camera: np.ndarray) -> str:
    ranking = Ranking(person, camera)
    for i in np.flatnonzero(person > 0).tolist():
        # A false alarm's own camera is left out like everybody's: matches lie across cameras.
        distance = np.linalg.norm(vectors - vectors[i], axis=1)
        distance[camera == camera[i]] = np.inf
        ranking.add(-distance, int(person[i]), int(camera[i]))
    found = ranking.result()
    return f"rank-1 {found.rank(1):.3f}, mAP {found.mAP:.3f}"


if __name__ == "__main__":
    main()
