"""A city: cameras at the crossings of a street grid, and people who walk from crossing to crossing.

All of it is simulated. Streets differ in length and in how many people take them, so a few camera
pairs have seen much and most have seen little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stgal_stream.types import Floats, Integers, Vectors

_DIM = 64
_WAYS = np.array([(1, 0), (0, 1), (-1, 0), (0, -1)])
_STREET_S = (20.0, 80.0)  # walking time of a street, from the shortest to the longest
_POPULARITY = 1.0  # standard deviation of the logarithm of how many people take a street
_PACE = 0.15  # the same of a person's pace
_VIEW_S = (1.0, 2.5)
_STREETS = (3, 12)  # that a person walks


@dataclass(frozen=True, slots=True)
class Sightings:
    """Of N sightings in order of time: whose they are, in which camera, from when to when in
    seconds, and how they look, (N, D)."""

    person: Integers
    camera: Integers
    start_s: Floats
    end_s: Floats
    looks: Vectors

    def __len__(self) -> int:
        return len(self.person)

    def __getitem__(self, rows: Integers) -> Sightings:
        return Sightings(
            self.person[rows],
            self.camera[rows],
            self.start_s[rows],
            self.end_s[rows],
            self.looks[rows],
        )


def city(side: int, n_people: int, hours: float, noise: float, seed: int) -> Sightings:
    """What side x side cameras see of people who come at a steady rate. ``noise`` is the spread of
    one person's sightings in units of the spread between people; each camera shifts all by 0.3."""
    rng = np.random.default_rng(seed)
    street_s = rng.uniform(*_STREET_S, size=(side, side, 2))
    popular = np.exp(_POPULARITY * rng.normal(size=(side, side, 2)))
    rows = [
        row
        for person in range(n_people)
        for row in _walk(rng, person, street_s, popular, hours * 3600)
    ]
    rows.sort(key=lambda row: (row[2], row[1]))
    person, camera, start_s, end_s = (np.array(column) for column in zip(*rows, strict=True))
    face = rng.normal(size=(n_people, _DIM))
    shift = 0.3 * rng.normal(size=(side * side, _DIM))
    looks = face[person] + shift[camera] + noise * rng.normal(size=(len(rows), _DIM))
    return Sightings(person, camera, start_s, end_s, looks.astype(np.float32))


def _walk(
    rng: np.random.Generator, person: int, street_s: Floats, popular: Floats, duration_s: float
) -> list[tuple[int, int, float, float]]:
    """A person's sightings: (person, camera, start, end)."""
    side = len(street_s)
    at, way = rng.integers(side, size=2), int(rng.integers(4))
    pace = float(np.exp(_PACE * rng.normal()))
    now_s = float(rng.uniform(0, duration_s))
    found = []
    for _ in range(int(rng.integers(*_STREETS)) + 1):
        end_s = now_s + float(rng.uniform(*_VIEW_S))
        found.append((person, int(at[0] * side + at[1]), now_s, end_s))
        way = _next_way(rng, at, way, popular)
        street = (*np.minimum(at, at + _WAYS[way]), way % 2)
        now_s = end_s + pace * float(street_s[street])
        at = at + _WAYS[way]
    return found


def _next_way(rng: np.random.Generator, at: Integers, way: int, popular: Floats) -> int:
    """Where somebody goes next: by the streets' popularity, back only at a dead end."""
    side = len(popular)
    open_ways, weights = [], []
    for k, step in enumerate(_WAYS):
        to = at + step
        if k != (way + 2) % 4 and (to >= 0).all() and (to < side).all():
            open_ways.append(k)
            weights.append(popular[(*np.minimum(at, to), k % 2)] * (2.0 if k == way else 1.0))
    share = np.cumsum(weights) / np.sum(weights)
    return open_ways[int(np.searchsorted(share, rng.random()))]
