"""Laws of movement: who is in view of which camera, and when.

Each law takes a generator, a number of people and seconds, and gives visits. The numbers in them
are those of places that exist: a corridor is walked in half a minute, a lift holds six.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Visit:
    """A person in view of a camera, in seconds."""

    person: int
    camera: str
    start_s: float
    end_s: float


Movement = Callable[[Rng, int, float], list[Visit]]


def _pace(rng: Rng, mean_s: float, spread: float = 0.2) -> float:
    """A walk: people's paces differ by a factor."""
    return mean_s * float(np.exp(spread * rng.normal()))


def _route(
    rng: Rng,
    person: int,
    start_s: float,
    cameras: Sequence[str],
    walks_s: Sequence[float],
    view_s: tuple[float, float] = (4.0, 10.0),
) -> list[Visit]:
    """Through cameras one after the other, ``walks_s`` between each two."""
    found, at_s = [], start_s
    for k, camera in enumerate(cameras):
        end_s = at_s + float(rng.uniform(*view_s))
        found.append(Visit(person, camera, at_s, end_s))
        if k < len(walks_s):
            at_s = end_s + _pace(rng, walks_s[k])
    return found


def ring(rng: Rng, n_people: int, duration_s: float) -> list[Visit]:
    """Six cameras in a ring; two to five steps, either way."""
    legs_s = (20.0, 35.0, 60.0, 25.0, 90.0, 45.0)
    found: list[Visit] = []
    for person in range(n_people):
        at, way = int(rng.integers(6)), int(rng.choice([-1, 1]))
        stops = [(at + way * k) % 6 for k in range(int(rng.integers(3, 7)))]
        walks = [legs_s[min(a, b) if abs(a - b) == 1 else 5] for a, b in _steps(stops)]
        names = [f"ring-{k}" for k in stops]
        found += _route(rng, person, float(rng.uniform(0, duration_s)), names, walks)
    return found


def _steps(stops: Sequence[int]) -> list[tuple[int, int]]:
    return list(pairwise(stops))


def hub(rng: Rng, n_people: int, duration_s: float) -> list[Visit]:
    """A hall and five doors: in by one, through the hall, out by another."""
    found: list[Visit] = []
    for person in range(n_people):
        doors = rng.permutation(5)[:2]
        names = [f"door-{doors[0]}", "hall", f"door-{doors[1]}"]
        walks = [12.0 + 6.0 * doors[0], 12.0 + 6.0 * doors[1]]
        found += _route(rng, person, float(rng.uniform(0, duration_s)), names, walks)
    return found


def corridor(rng: Rng, n_people: int, duration_s: float) -> list[Visit]:
    """Five cameras in a line, both ways, some turn back."""
    found: list[Visit] = []
    for person in range(n_people):
        names = [f"corridor-{k}" for k in range(5)]
        if rng.random() < 0.5:
            names = names[::-1]
        if rng.random() < 0.2:
            names = names[:3] + names[1::-1]
        walks = [15.0, 30.0, 20.0, 25.0]
        found += _route(rng, person, float(rng.uniform(0, duration_s)), names, walks)
    return found


def campus(rng: Rng, n_people: int, duration_s: float) -> list[Visit]:
    """Two squares, each seen by two cameras at once, and a path of two minutes between them."""
    found: list[Visit] = []
    for person in range(n_people):
        at_s = float(rng.uniform(0, duration_s))
        squares = ["north", "south"] if rng.random() < 0.5 else ["south", "north"]
        for square in squares[: 1 + int(rng.random() < 0.7)]:
            stay_s = float(rng.uniform(10, 40))
            late_s = float(rng.uniform(0, 5))
            found.append(Visit(person, f"{square}-1", at_s, at_s + stay_s))
            found.append(Visit(person, f"{square}-2", at_s + late_s, at_s + stay_s + late_s))
            at_s += stay_s + late_s + _pace(rng, 120.0)
    return found


def lifts(rng: Rng, n_people: int, duration_s: float) -> list[Visit]:
    """A ground floor and three above; a lift takes up to six people at a time."""
    found: list[Visit] = []
    rides: dict[int, float] = {}
    for person in range(n_people):
        ride = person // 6
        at_s = rides.setdefault(ride, float(rng.uniform(0, duration_s)))
        floor = int(rng.integers(1, 4))
        arrival_s = at_s + float(rng.uniform(0, 20))
        names = ["ground", f"floor-{floor}"]
        boards_s = at_s + 30.0
        found.append(Visit(person, names[0], arrival_s, boards_s))
        out_s = boards_s + 15.0 * floor + float(rng.uniform(0, 4))
        found.append(Visit(person, names[1], out_s, out_s + float(rng.uniform(3, 8))))
        if rng.random() < 0.5:
            back_s = out_s + float(rng.uniform(300, 900))
            found.append(Visit(person, names[1], back_s, back_s + 6))
            down_s = back_s + 6 + _pace(rng, 15.0 * floor + 20)
            found.append(Visit(person, names[0], down_s, down_s + 8))
    return found


def shop(rng: Rng, n_people: int, duration_s: float) -> list[Visit]:
    """One way: the entrance, two of four aisles, the till, the exit."""
    found: list[Visit] = []
    for person in range(n_people):
        aisles = sorted(rng.permutation(4)[:2].tolist())
        names = ["entrance", *(f"aisle-{k}" for k in aisles), "till", "exit"]
        walks = [25.0, 50.0, 40.0, 12.0]
        start_s = float(rng.uniform(0, duration_s))
        found += _route(rng, person, start_s, names, walks, view_s=(5.0, 25.0))
    return found


def long_gaps(rng: Rng, n_people: int, duration_s: float) -> list[Visit]:
    """Three places with 5 to 20 minutes on the way between each two."""
    found: list[Visit] = []
    for person in range(n_people):
        order = rng.permutation(3).tolist()
        walks = [300.0 + 450.0 * abs(a - b) for a, b in _steps(order)]
        names = [f"place-{k}" for k in order]
        found += _route(rng, person, float(rng.uniform(0, duration_s)), names, walks)
    return found


def rush_hour(rng: Rng, n_people: int, duration_s: float) -> list[Visit]:
    """A line of four; in the second half everybody takes half as long again, and more people
    come."""
    found: list[Visit] = []
    for person in range(n_people):
        share = float(rng.choice([rng.uniform(0, 0.5), rng.uniform(0.5, 1.0)], p=[0.3, 0.7]))
        slower = 1.5 if share > 0.5 else 1.0
        names = [f"gate-{k}" for k in range(4)]
        walks = [30.0 * slower, 60.0 * slower, 40.0 * slower]
        found += _route(rng, person, share * duration_s, names, walks)
    return found


def staff(rng: Rng, n_people: int, duration_s: float) -> list[Visit]:
    """One in five works here and goes back and forth all day; the others pass once."""
    found: list[Visit] = []
    rooms = ["desk", "store", "yard"]
    for person in range(n_people):
        if person % 5:
            start_s = float(rng.uniform(0, duration_s))
            found += _route(rng, person, start_s, ["street", "desk", "street"], [20.0, 40.0])
            continue
        at_s, room = float(rng.uniform(0, 120)), int(rng.integers(3))
        while at_s < duration_s:
            end_s = at_s + float(rng.uniform(4, 15))
            found.append(Visit(person, rooms[room], at_s, end_s))
            other = (room + int(rng.integers(1, 3))) % 3
            at_s = end_s + _pace(rng, 20.0 + 15.0 * abs(other - room))
            at_s += float(rng.exponential(120.0)) if rng.random() < 0.3 else 0.0
            room = other
    return found


def long_dwell(rng: Rng, n_people: int, duration_s: float) -> list[Visit]:
    """One to ten minutes in view, then a short walk to the next of three rooms."""
    found: list[Visit] = []
    for person in range(n_people):
        at_s = float(rng.uniform(0, duration_s))
        rooms = rng.permutation(3)[: int(rng.integers(2, 4))].tolist()
        for room in rooms:
            end_s = at_s + 60.0 + min(540.0, float(rng.exponential(150.0)))
            found.append(Visit(person, f"room-{room}", at_s, end_s))
            at_s = end_s + _pace(rng, 20.0)
    return found


def two_cameras(rng: Rng, n_people: int, duration_s: float) -> list[Visit]:
    """A trial: everybody from the one to the other."""
    found: list[Visit] = []
    for person in range(n_people):
        names = ["in", "out"] if rng.random() < 0.7 else ["out", "in"]
        found += _route(rng, person, float(rng.uniform(0, duration_s - 40)), names, [25.0])
    return found


def many_cameras(rng: Rng, n_people: int, duration_s: float) -> list[Visit]:
    """Forty cameras on a grid of five by eight; each person goes a way of three to seven."""
    found: list[Visit] = []
    for person in range(n_people):
        x, y = int(rng.integers(8)), int(rng.integers(5))
        way = [(x, y)]
        dx, dy = [(1, 0), (-1, 0), (0, 1), (0, -1)][int(rng.integers(4))]
        for _ in range(int(rng.integers(2, 7))):
            if rng.random() < 0.3:
                dx, dy = (dy, dx) if rng.random() < 0.5 else (-dy, -dx)
            if not (0 <= x + dx < 8 and 0 <= y + dy < 5):
                dx, dy = -dx, -dy
            x, y = x + dx, y + dy
            way.append((x, y))
        names = [f"grid-{a}-{b}" for a, b in way]
        walks = [20.0 + 4.0 * ((a * 7 + b * 3) % 9) for a, b in way[1:]]
        found += _route(rng, person, float(rng.uniform(0, duration_s)), names, walks)
    return found


def nobody_shared(rng: Rng, n_people: int, duration_s: float) -> list[Visit]:
    """Four cameras, each with people of its own: whatever is joined across them is wrong."""
    found = []
    for person in range(n_people):
        at_s = float(rng.uniform(0, duration_s))
        found.append(Visit(person, f"island-{person % 4}", at_s, at_s + float(rng.uniform(4, 10))))
    return found


@dataclass(frozen=True, slots=True)
class SeenOnce:
    """A law of which ``share`` of the people pass one camera alone."""

    law: Movement
    share: float

    @property
    def __name__(self) -> str:
        return f"{self.law.__name__}, {self.share:.0%} once"

    def __call__(self, rng: Rng, n_people: int, duration_s: float) -> list[Visit]:
        mine: dict[int, list[Visit]] = {}
        for visit in self.law(rng, n_people, duration_s):
            mine.setdefault(visit.person, []).append(visit)
        kept: list[Visit] = []
        for person in sorted(mine):
            theirs = mine[person]
            is_once = rng.random() < self.share
            kept += [theirs[rng.integers(len(theirs))]] if is_once else theirs
        return kept
