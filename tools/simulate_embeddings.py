#!/usr/bin/env python
"""Simulated embeddings for a schedule's real identities, cameras and clock.

tools/simulate_embeddings.py market1501.csv.gz --noise 1.0 --npz set.npz
tools/simulate_embeddings.py market1501.csv.gz --noise 1.0 --jsonl d.jsonl --truth truth.csv

The laws are those of ``simulation.embeddings``; ``--noise`` is the standard deviation of a visit
and of an image, in units of the spread between people. A result on these is a result on simulated
embeddings. ``--null noise`` forgets the person, ``--null times`` deals the times out again within
every camera: two controls on which nothing must be learned.
"""

from __future__ import annotations

import argparse
import base64
import csv
import json
from pathlib import Path

import numpy as np

from stgal_stream.experiments.simulation.embeddings import EmbeddingLaw, simulate_embeddings
from stgal_stream.experiments.simulation.schedule import ScheduleRow, read_schedule
from stgal_stream.wire.fields import format_time

START_S = 1_700_000_000.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("schedule", type=Path)
    parser.add_argument("--split", default="test", choices=["test", "train", "all"])
    parser.add_argument("--noise", type=float, default=1.0)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--look-alikes", type=float, default=EmbeddingLaw().look_alikes)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--unit-length", action="store_true")
    parser.add_argument("--null", choices=["noise", "times"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--npz", type=Path)
    parser.add_argument("--jsonl", type=Path)
    parser.add_argument("--truth", type=Path)
    args = parser.parse_args()
    rows = read_schedule(args.schedule, args.split)
    law = EmbeddingLaw(
        dim=args.dim, visit=args.noise, image=args.noise, look_alikes=args.look_alikes
    )
    vectors, times = simulated(rows, law, args.seed, args.null)
    if args.unit_length:
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = (vectors * args.scale).astype(np.float32)
    if args.npz:
        np.savez(
            args.npz,
            embedding=vectors,
            person_id=np.array([row.person for row in rows]),
            camera=np.array([row.camera for row in rows]),
            time_s=times,
            split=np.array([row.split for row in rows]),
        )
    if args.jsonl:
        write_stream(args.jsonl, rows, vectors, times)
    if args.truth:
        with args.truth.open("w", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(("detection_id", "person_id", "camera", "time_s"))
            for i, row in enumerate(rows):
                writer.writerow((f"d{i}", row.person, row.camera, f"{START_S + times[i]:.3f}"))


def simulated(
    rows: list[ScheduleRow], law: EmbeddingLaw, seed: int, null: str | None
) -> tuple[np.ndarray, np.ndarray]:
    person = np.array([row.person for row in rows])
    camera = np.unique([row.camera for row in rows], return_inverse=True)[1]
    times = np.array([row.time_s for row in rows])
    vectors = simulate_embeddings(person, camera, times, law, seed)
    rng = np.random.default_rng(seed + 1)
    if null == "noise":
        vectors = rng.normal(size=vectors.shape).astype(np.float32)
    if null == "times":
        for c in np.unique(camera):
            mine = np.flatnonzero(camera == c)
            times[mine] = times[rng.permutation(mine)]
    return vectors, times


def write_stream(
    path: Path, rows: list[ScheduleRow], vectors: np.ndarray, times: np.ndarray
) -> None:
    with path.open("w") as out:
        for i in np.argsort(times, kind="stable").tolist():
            record = {
                "id": f"d{i}",
                "timestamp": format_time(START_S + float(times[i])),
                "sensorId": rows[i].camera,
                "object": {"type": "person"},
                "embedding": {
                    "vector": base64.b64encode(vectors[i].tobytes()).decode(),
                    "model": "simulated",
                },
            }
            out.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
