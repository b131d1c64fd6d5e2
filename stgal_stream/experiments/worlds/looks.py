"""Laws of looks: what an extractor makes of a person in a camera at a time.

A law gives a look for each visit and a noise for each image. ``noise`` is the size of what changes
from visit to visit, in units of the spread between people; each image adds half as much again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from stgal_stream.experiments.worlds.movement import Rng, Visit
from stgal_stream.types import Floats, Integers

Path = Callable[[float], Floats]


@dataclass(frozen=True, slots=True)
class Looks:
    """``of_visit`` (V, D) is each visit's look, ``image`` the standard deviation of an image's
    noise a dimension."""

    of_visit: Floats
    image: float


LooksLaw = Callable[[Rng, Sequence[Visit], float], Looks]
DIM = 64


def isotropic(rng: Rng, visits: Sequence[Visit], noise: float) -> Looks:
    """People are Gaussian points; a camera adds a constant shift."""
    people, camera, n = _indices(visits)
    face = rng.normal(size=(int(people.max()) + 1, DIM))
    shift = 0.3 * rng.normal(size=(int(camera.max()) + 1, DIM))
    looks = face[people] + shift[camera] + noise * rng.normal(size=(n, DIM))
    return Looks(looks, noise / 2)


def front_and_back(rng: Rng, visits: Sequence[Visit], noise: float) -> Looks:
    """As ``isotropic``, and each person looks different in each camera for good (0.3 to 0.6)."""
    people, camera, _ = _indices(visits)
    made = isotropic(rng, visits, noise)
    n_cameras = int(camera.max()) + 1
    size = rng.uniform(0.3, 0.6, size=(n_cameras, 1))
    side = rng.normal(size=(int(people.max()) + 1, n_cameras, DIM))
    made.of_visit[:] += size[camera] * side[people, camera]
    return made


def manifold(rng: Rng, visits: Sequence[Visit], noise: float) -> Looks:
    """People differ along 12 directions only, so they look alike by degrees; the noise of a visit
    has all 64."""
    people, camera, n = _indices(visits)
    basis = np.linalg.qr(rng.normal(size=(DIM, 12)))[0].T
    face = np.sqrt(DIM / 12) * rng.normal(size=(int(people.max()) + 1, 12)) @ basis
    shift = 0.3 * rng.normal(size=(int(camera.max()) + 1, DIM))
    visit = 0.7 * noise * (rng.normal(size=(n, 12)) @ basis) * np.sqrt(DIM / 12)
    looks = face[people] + shift[camera] + visit + 0.7 * noise * rng.normal(size=(n, DIM))
    return Looks(looks, noise / 2)


def heavy_tails(rng: Rng, visits: Sequence[Visit], noise: float) -> Looks:
    """Student's t instead of Gaussians, each camera scales the dimensions in its own way (colour),
    three modes of pose, and a quarter of the people look like another."""
    people, camera, n = _indices(visits)
    n_people = int(people.max()) + 1
    face = _student(rng, (n_people, DIM))
    for i in np.flatnonzero(rng.random(n_people) < 0.25).tolist():
        face[i] = face[int(rng.integers(n_people))] + 0.5 * rng.normal(size=DIM)
    colour = np.exp(0.15 * rng.normal(size=(int(camera.max()) + 1, DIM)))
    shift = 0.3 * rng.normal(size=(int(camera.max()) + 1, DIM))
    pose = 0.4 * rng.normal(size=(3, DIM))
    looks = (face[people] + noise * _student(rng, (n, DIM))) * colour[camera] + shift[camera]
    return Looks(looks + pose[rng.integers(3, size=n)], noise / 2)


def _student(rng: Rng, shape: tuple[int, int]) -> Floats:
    """Student's t of five degrees of freedom, a radius a row, at standard deviation 1."""
    radius = np.sqrt(5.0 / rng.chisquare(5, size=(shape[0], 1)))
    return np.asarray(rng.normal(size=shape) * radius * np.sqrt(3.0 / 5.0))


def _indices(visits: Sequence[Visit]) -> tuple[Integers, Integers, int]:
    people = np.array([v.person for v in visits], np.int64)
    names = np.array([v.camera for v in visits])
    camera = np.unique(names, return_inverse=True)[1].astype(np.int64)
    return people, camera, len(visits)


def drift(rng: Rng, size: float, constant_s: float = 180.0) -> Path:
    """Light: a smooth random path of standard deviation ``size`` a dimension."""
    knots = rng.normal(size=(128, DIM))

    def at(time_s: float) -> Floats:
        place = time_s / constant_s % (len(knots) - 1)
        k, share = int(place), (place - int(place)) * np.pi / 2
        return np.asarray(size * (np.cos(share) * knots[k] + np.sin(share) * knots[k + 1]))

    return at
