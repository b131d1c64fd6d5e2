"""Laws of movement, light and looks: who is where when, and what an extractor makes of it.

Each law gives visits; ``detections`` embeds them. People are Gaussian points of 64 dimensions, an
embedding adds noise for the visit and for the image. No law knows of the tracker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from stgal_stream.experiments.worlds.looks import DIM, drift
from stgal_stream.experiments.worlds.movement import Visit
from stgal_stream.types import Detection, Floats

_START_S = 1e9


Light = Callable[[str, float], Floats | float]


def no_light(camera: str, time_s: float) -> float:
    """Constant light."""
    return 0.0


def drifting_light(seed: int, size: float, constant_s: float = 180.0) -> Light:
    """One smooth random path, common to all cameras: standard deviation ``size`` a dimension."""
    path = drift(np.random.default_rng((seed, 9)), size, constant_s)

    def light(camera: str, time_s: float) -> Floats:
        return path(time_s)

    return light


def detections(
    seed: int,
    visits: Iterable[Visit],
    *,
    visit_noise: float = 0.4,
    image_noise: float = 0.2,
    by_camera: float = 0.0,
    light: Light = no_light,
    every_s: float = 2.0,
    groups: int = 0,
) -> list[Detection]:
    """A box every ``every_s`` seconds of each visit, with the camera's own track.

    ``by_camera`` is the size of what makes a person look different in a camera for good (front and
    back); the first ``groups`` people share one face (a uniform).
    """
    rng = np.random.default_rng(seed)
    faces: dict[int, Floats] = {}
    sides: dict[tuple[int, str], Floats] = {}
    found = []
    for number, visit in enumerate(sorted(visits, key=lambda v: (v.start_s, v.camera, v.person))):
        key = 0 if visit.person < groups else visit.person
        face = faces.setdefault(key, rng.normal(size=DIM))
        side = sides.setdefault((visit.person, visit.camera), by_camera * rng.normal(size=DIM))
        look = face + side + visit_noise * rng.normal(size=DIM)
        for k, time_s in enumerate(np.arange(visit.start_s, visit.end_s + 1e-9, every_s).tolist()):
            seen = look + light(visit.camera, time_s) + image_noise * rng.normal(size=DIM)
            name = f"{visit.person}/{number}/{k}"
            found.append(
                Detection(
                    name, visit.camera, _START_S + time_s, seen.astype(np.float32), "v", str(number)
                )
            )
    return sorted(found, key=lambda d: (d.time_s, d.id))


def pass_once(seed: int, n_people: int = 100, duration_s: float = 2000.0) -> list[Visit]:
    """Through three cameras, 40 and 70 seconds apart, once."""
    rng = np.random.default_rng((seed, 1))
    found = []
    for person in range(n_people):
        start_s = rng.uniform(0, duration_s)
        for camera, after_s in (("a", 0.0), ("b", 40.0), ("c", 110.0)):
            at_s = start_s + after_s * rng.uniform(0.9, 1.1)
            found.append(Visit(person, camera, at_s, at_s + 6))
    return found


def back_and_forth(
    seed: int, n_people: int = 40, rounds: int = 14, pause_s: float = 60.0
) -> list[Visit]:
    """From a to b in half a minute, and back after a pause of any length, all day: staff."""
    rng = np.random.default_rng((seed, 2))
    found = []
    for person in range(n_people):
        at_s = rng.uniform(0, pause_s + 60)
        for _ in range(rounds):
            for camera, walk_s in (("a", 30.0), ("b", pause_s)):
                found.append(Visit(person, camera, at_s, at_s + 4))
                pace = rng.exponential() if camera == "b" else rng.uniform(0.8, 1.2)
                at_s += 4 + walk_s * pace
    return found


def long_dwell(seed: int, n_people: int = 120, dwell_s: float = 300.0) -> list[Visit]:
    """Minutes in view of a, then a walk of 20 seconds to b."""
    rng = np.random.default_rng((seed, 3))
    found = []
    for person in range(n_people):
        start_s = rng.uniform(0, 3000)
        end_s = start_s + float(rng.exponential(dwell_s)) + 5
        arrival_s = end_s + 20 + 2 * rng.normal()
        found += [Visit(person, "a", start_s, end_s), Visit(person, "b", arrival_s, arrival_s + 5)]
    return found


def nobody_shared(seed: int, n_people: int = 150, duration_s: float = 3000.0) -> list[Visit]:
    """Two cameras, each with people of its own."""
    rng = np.random.default_rng((seed, 4))
    found = []
    for person in range(2 * n_people):
        at_s = rng.uniform(0, duration_s)
        found.append(Visit(person, "ab"[person % 2], at_s, at_s + 6))
    return found


def renamed_cameras(seed: int, every_s: float = 200.0) -> list[Visit]:
    """One camera whose name changes every few minutes (pods, restarts)."""
    rng = np.random.default_rng((seed, 5))
    return [
        Visit(person, f"cam-{int(at_s // every_s)}", at_s, at_s + 4)
        for person, at_s in enumerate(np.sort(rng.uniform(0, 3000, 300)).tolist())
    ]
