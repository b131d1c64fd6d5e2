"""Simulated embeddings: people as points in a space, cameras and images as what moves them.

The laws, all Gaussian in D dimensions: a person is a point with standard deviation 1 (a look-alike
is its original moved by 0.5), a camera adds a constant shift (``camera``), each visit of a person
to a camera a shift of its own (``visit``), each image another (``image``). A distractor and a junk
box are points of their own, seen once. A result on these is a result on simulated embeddings and is
called that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class EmbeddingLaw:
    """Standard deviations of the shifts, in units of the spread between people."""

    dim: int = 128
    camera: float = 0.3
    visit: float = 0.7
    image: float = 0.7
    look_alikes: float = 0.1
    visit_gap_s: float = 15.0


def simulate_embeddings(
    person: NDArray[np.int64],
    camera: NDArray[np.int64],
    time_s: NDArray[np.float64],
    law: EmbeddingLaw,
    seed: int,
) -> NDArray[np.float32]:
    """(N, dim) float32 for N images. ``person`` is 0 for a distractor and -1 for junk."""
    rng = np.random.default_rng(seed)
    n = len(person)
    ids, index = np.unique(person, return_inverse=True)
    points = rng.normal(size=(len(ids), law.dim))
    for i in np.flatnonzero(rng.random(len(ids)) < law.look_alikes).tolist():
        points[i] = points[rng.integers(len(ids))] + 0.5 * rng.normal(size=law.dim)
    rows = points[index]
    alone = person <= 0
    rows[alone] = rng.normal(size=(int(alone.sum()), law.dim))
    shift = law.camera * rng.normal(size=(int(camera.max(initial=0)) + 1, law.dim))
    rows = rows + shift[camera] + law.image * rng.normal(size=(n, law.dim))
    visits = _visits(person, camera, time_s, law.visit_gap_s)
    rows += law.visit * rng.normal(size=(int(visits.max(initial=0)) + 1, law.dim))[visits]
    return rows.astype(np.float32)


def _visits(
    person: NDArray[np.int64], camera: NDArray[np.int64], time_s: NDArray[np.float64], gap_s: float
) -> NDArray[np.int64]:
    """Numbers visits: one person in one camera without a gap. Others are a visit each."""
    order = np.lexsort((time_s, camera, person))
    p, c, t = person[order], camera[order], time_s[order]
    new = np.ones(len(order), bool)
    new[1:] = (p[1:] != p[:-1]) | (c[1:] != c[:-1]) | (t[1:] - t[:-1] > gap_s) | (p[1:] <= 0)
    visits = np.empty(len(order), np.int64)
    visits[order] = np.cumsum(new) - 1
    return visits
