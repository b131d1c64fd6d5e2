"""Sightings of simulated people, and how an extractor sees them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from stgal_stream.retraining.data.stream_events import Sighting
from stgal_stream.training.batches import PseudoPair
from stgal_stream.types import Position


def walk(seed: int, n_people: int = 400) -> tuple[list[Sighting], np.ndarray]:
    """People who go through three cameras, 40 s and 70 s apart: sightings and who they are."""
    rng = np.random.default_rng(seed)
    found: list[tuple[int, Sighting]] = []
    for person in range(n_people):
        start_s = float(rng.uniform(0, 6000))
        for camera, offset_s in enumerate((0.0, 40.0, 110.0)):
            at_s = start_s + offset_s * float(rng.uniform(0.9, 1.1))
            at = Position("d", 0, len(found))
            found.append(
                (person, Sighting(f"{person}-{camera}", "s", f"c{camera}", at_s, at_s + 4, at))
            )
    found.sort(key=lambda item: item[1].start_s)
    return [s for _, s in found], np.array([person for person, _ in found])


def features(person: np.ndarray, noise: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    points = np.random.default_rng(99).normal(size=(person.max() + 1, 32))
    seen = points[person] + noise * rng.normal(size=(len(person), 32))
    return np.asarray(seen, np.float32)


def true_pairs(person: np.ndarray) -> list[PseudoPair]:
    order = np.argsort(person, kind="stable")
    return [
        PseudoPair(min(a, b), max(a, b), 0.9)
        for a, b in pairwise(order.tolist())
        if person[a] == person[b]
    ]
