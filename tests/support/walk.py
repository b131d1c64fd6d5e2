"""Simulated people walking past three cameras."""

from __future__ import annotations

import numpy as np

from stgal_stream.experiments.simulation.embeddings import EmbeddingLaw, simulate_embeddings
from stgal_stream.types import Detection


def simulated_walk(
    seed: int = 0,
    n_people: int = 30,
    *,
    tracked: bool = True,
    dim: int = 24,
    duration_s: float = 900.0,
    law: EmbeddingLaw | None = None,
) -> list[Detection]:
    """Each person passes cameras 0, 1 and 2 in turn, 40 and 70 s apart, five detections each."""
    rng = np.random.default_rng(seed)
    people, cameras, times, tracks = [], [], [], []
    track = 0
    for person in range(1, n_people + 1):
        start_s = rng.uniform(0, duration_s)
        for camera, offset_s in ((0, 0.0), (1, 40.0), (2, 110.0)):
            track += 1
            begin_s = start_s + offset_s * rng.uniform(0.85, 1.15)
            for step in range(5):
                people.append(person)
                cameras.append(camera)
                times.append(begin_s + step + rng.uniform(0, 0.1))
                tracks.append(track)
    person_of = np.array(people)
    camera_of = np.array(cameras)
    time_s = np.array(times)
    law = law or EmbeddingLaw(dim=dim, visit=0.3, image=0.4, look_alikes=0.0)
    vectors = simulate_embeddings(person_of, camera_of, time_s, law, seed)
    order = np.argsort(time_s, kind="stable")
    return [
        Detection(
            id=f"p{person_of[i]}-{i}",
            camera=f"cam-{camera_of[i]}",
            time_s=float(time_s[i]) + 1e9,
            embedding=vectors[i],
            extractor="simulated",
            track_id=str(tracks[i]) if tracked else None,
        )
        for i in order
    ]
