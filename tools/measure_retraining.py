#!/usr/bin/env python
"""What extractors are worth on a demo's own crops, by the simulation's truth.

tools/measure_retraining.py build/demo model.onnx [releases/retrained-…/model.onnx]

Rank-1 and mAP across cameras, one crop a tracklet: of all sightings, and of the newest 30 %, which
``retrain`` holds out; and the share of the stream's pseudo-pairs that is right.

With ``--gate`` also what the gate says of each model as a candidate against each other one, beside
the rank-1 that it cannot see: models as they are judged, in floats.
"""

from __future__ import annotations

import argparse
import csv
from itertools import permutations
from pathlib import Path

import numpy as np

from stgal_stream.configuration import load_config
from stgal_stream.evaluation.retrieval import Ranking, Retrieval
from stgal_stream.extractor.onnx import OnnxExtractor
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.retraining.baseline import embed
from stgal_stream.retraining.data.sources import LogSource
from stgal_stream.retraining.gate import judge

HELD_OUT = 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("demo", type=Path, help="the demo's --out")
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--gate", action="store_true")
    parser.add_argument("--most", type=int, default=20_000, help="newest tracklets, as retrain")
    args = parser.parse_args()
    with (args.demo / "truth.csv").open() as lines:
        truth = {row["detection_id"]: int(row["person_id"]) for row in csv.DictReader(lines)}
    log = EmbeddedLog(args.demo / "log")
    source = LogSource(log, load_config(None, {}).topics)
    until = source.until()
    vectors = {}
    for model in args.models:
        extractor = OnnxExtractor(model, eight_bit=not args.gate)
        data = source.read(until, extractor, args.most)
        person = np.array([truth[s.id] for s in data.sightings])
        camera = np.unique([s.camera for s in data.sightings], return_inverse=True)[1]
        x = vectors[extractor.version] = embed(extractor, data.crops)
        split = int(len(person) * (1 - HELD_OUT))
        right = np.mean([person[p.first] == person[p.second] for p in data.pairs])
        print(f"{extractor.version}: {len(data.pairs)} pseudo-pairs, {right:.3f} right")
        for name, start in (("all", 0), ("held out", split)):
            found = score(x[start:], person[start:], camera[start:])
            print(f"  {name:<9}rank-1 {found.rank(1):.3f}, mAP {found.mAP:.3f}")
    log.close()
    if args.gate:
        print("candidate against baseline: rank-1 at held-out times, what the gate says")
        rank1 = {
            version: score(x[split:], person[split:], camera[split:]).rank(1)
            for version, x in vectors.items()
        }
        for one, other in permutations(vectors, 2):
            verdict = judge(data.sightings, split, vectors[one], vectors[other])
            said = "passed" if verdict.passed else f"refused, {verdict.reason}"
            print(f"  {other} against {one}: {rank1[other] - rank1[one]:+.3f}, {said}")


def score(vectors: np.ndarray, person: np.ndarray, camera: np.ndarray) -> Retrieval:
    ranking = Ranking(person, camera)
    for i in np.flatnonzero(person > 0).tolist():
        # A false alarm's own camera is left out like everybody's: matches lie across cameras.
        distance = np.linalg.norm(vectors - vectors[i], axis=1)
        distance[camera == camera[i]] = np.inf
        ranking.add(-distance, int(person[i]), int(camera[i]))
    return ranking.result()


if __name__ == "__main__":
    main()
