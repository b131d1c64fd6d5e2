#!/usr/bin/env python
"""The calibrated alpha against the best in hindsight, on simulated embeddings of a real schedule.

tools/measure_alpha.py market1501.csv.gz [--noise 1.6 1.18 1.0 0.82] [--scale 0.1 1 30] [--seed 1]

For each noise (see tools/simulate_embeddings.py), scale, raw and of unit length: P_v; P_a at the
calibrated alpha; the best rank-1 and mAP of P_a over twelve alphas that span a factor of 100 around
it; and the two ratios. Labels are used to score, never to calibrate.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from stgal_stream.core.calibration.calibrate import calibrate
from stgal_stream.core.calibration.model import Calibration
from stgal_stream.evaluation.labelled_set import LabelledSet
from stgal_stream.evaluation.retrieval import Ranking, Retrieval
from stgal_stream.experiments.benchmark import candidates_of, queries_by_camera
from stgal_stream.experiments.fusion import Fusion
from stgal_stream.experiments.simulation.embeddings import EmbeddingLaw, simulate_embeddings
from stgal_stream.experiments.simulation.schedule import read_schedule
from stgal_stream.settings import TrackerSettings

GRID = np.geomspace(0.1, 10.0, 12)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("schedule", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--noise", type=float, nargs="*", default=[1.6, 1.18, 1.0, 0.82])
    parser.add_argument("--scale", type=float, nargs="*", default=[0.1, 1.0, 30.0])
    parser.add_argument("--look-alikes", type=float, default=EmbeddingLaw().look_alikes)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    print("| noise | features | P_v rank-1 / mAP | P_a rank-1 / mAP | of the best | s |")
    print("|---|---|---|---|---|---|")
    for noise in args.noise:
        for unit in (False, True):
            for scale in args.scale:
                began_s = time.perf_counter()
                law = EmbeddingLaw(visit=noise, image=noise, look_alikes=args.look_alikes)
                data = simulated(args.schedule, args.split, law, unit, scale, args.seed)
                settings = TrackerSettings(calibration_tracklets=len(data.person))
                found = calibrate(data.gallery_of_window(), settings, "measured")
                p_v, p_a, *others = retrieve(data, found, [found.alpha * m for m in (1, *GRID)])
                best = max(r.rank(1) for r in (p_a, *others)), max(r.mAP for r in (p_a, *others))
                print(
                    f"| {noise:g} | {'unit length' if unit else 'raw'} x {scale:g} "
                    f"| {p_v.rank(1):.3f} / {p_v.mAP:.3f} | {p_a.rank(1):.3f} / {p_a.mAP:.3f} "
                    f"| {p_a.rank(1) / best[0]:.3f} / {p_a.mAP / best[1]:.3f} "
                    f"| {time.perf_counter() - began_s:.0f} |",
                    flush=True,
                )


def simulated(
    path: Path, split: str, law: EmbeddingLaw, unit: bool, scale: float, seed: int
) -> LabelledSet:
    rows = read_schedule(path, split)
    person = np.array([row.person for row in rows])
    names, camera = np.unique([row.camera for row in rows], return_inverse=True)
    times = np.array([row.time_s for row in rows])
    vectors = simulate_embeddings(person, camera, times, law, seed)
    if unit:
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    splits = np.array([row.split for row in rows])
    return LabelledSet(
        (vectors * scale).astype(np.float32), person, camera, tuple(names.tolist()), times, splits
    )


def retrieve(data: LabelledSet, found: Calibration, alphas: list[float]) -> list[Retrieval]:
    """P_v, then P_a at every alpha, in one pass over the distances."""
    gallery = data.gallery
    rankings = [Ranking(data.person[gallery], data.camera[gallery]) for _ in (None, *alphas)]
    columns = [np.flatnonzero(data.camera[gallery] == c) for c in range(len(data.camera_names))]
    rule = Fusion(found, replace(found, alpha=0.0), {}).p_a_calibrated
    for queries in queries_by_camera(data):
        camera = int(data.camera[queries[0]])
        distance = np.zeros((len(queries), len(gallery)))
        seen, travel = np.zeros_like(distance), np.zeros_like(distance)
        for other, at in enumerate(columns):
            candidates = candidates_of(
                data, found.normalisation, queries, gallery[at], camera, other
            )
            distance[:, at] = candidates.distance
            seen[:, at] = candidates.seen
            travel[:, at] = rule(candidates)
        for i, query in enumerate(queries.tolist()):
            rankings[0].add(-distance[i], int(data.person[query]), camera)
            for alpha, ranking in zip(alphas, rankings[1:], strict=True):
                ranking.add(travel[i] - alpha * seen[i], int(data.person[query]), camera)
    return [ranking.result() for ranking in rankings]


if __name__ == "__main__":
    main()
