"""Laws of boxes: what a camera publishes of a visit.

A law gives, for the images of the visits in order of time, each one's track; ``None`` where the
camera does not track.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from stgal_stream.experiments.worlds.movement import Rng, Visit

Tracks = list[str | None]
DEEPSTREAM_NO_TRACK = "18446744073709551615"


@dataclass(frozen=True, slots=True)
class Image:
    """One image of a visit (by its index)."""

    visit: int
    camera: str
    time_s: float


@dataclass(frozen=True, slots=True)
class BoxesLaw:
    """Images every ``every_s`` seconds, and which track each is given."""

    name: str
    every_s: float
    tracks: Callable[[Rng, Sequence[Image]], Tracks]


def images_of(visits: Sequence[Visit], every_s: float) -> list[Image]:
    """All images, in order of time."""
    found = [
        Image(k, visit.camera, float(at_s))
        for k, visit in enumerate(visits)
        for at_s in np.arange(visit.start_s, visit.end_s + 1e-9, every_s)
    ]
    return sorted(found, key=lambda i: (i.time_s, i.camera, i.visit))


def _tracked(rng: Rng, images: Sequence[Image]) -> Tracks:
    return [str(image.visit) for image in images]


def _untracked(rng: Rng, images: Sequence[Image]) -> Tracks:
    return [None] * len(images)


def _sentinel(rng: Rng, images: Sequence[Image]) -> Tracks:
    return [DEEPSTREAM_NO_TRACK] * len(images)


def _broken(rng: Rng, images: Sequence[Image]) -> Tracks:
    """A new id with a chance of a third at every image."""
    part: dict[int, int] = {}
    found: Tracks = []
    for image in images:
        if rng.random() < 1 / 3:
            part[image.visit] = part.get(image.visit, 0) + 1
        found.append(f"{image.visit}.{part.get(image.visit, 0)}")
    return found


def _switched(rng: Rng, images: Sequence[Image]) -> Tracks:
    """One track in ten goes on, from its middle, as somebody else who is in view."""
    swapped = {v for v in {image.visit for image in images} if rng.random() < 0.1}
    last: dict[str, dict[int, float]] = {}
    name: dict[int, str] = {}
    seen: dict[int, int] = {}
    found: Tracks = []
    for image in images:
        here = last.setdefault(image.camera, {})
        seen[image.visit] = seen.get(image.visit, 0) + 1
        mine = name.setdefault(image.visit, str(image.visit))
        if image.visit in swapped and seen[image.visit] == 2:
            swapped.discard(image.visit)
            near = [v for v, at in here.items() if v != image.visit and image.time_s - at < 3.0]
            if near:
                name[image.visit], name[near[0]] = name[near[0]], mine
        here[image.visit] = image.time_s
        found.append(name[image.visit])
    return found


def _reused(rng: Rng, images: Sequence[Image]) -> Tracks:
    """A tracker that counts to thirty and begins again."""
    order: dict[str, dict[int, int]] = {}
    found: Tracks = []
    for image in images:
        here = order.setdefault(image.camera, {})
        found.append(str(here.setdefault(image.visit, len(here)) % 30))
    return found


def _restarted(rng: Rng, images: Sequence[Image]) -> Tracks:
    """A tracker that restarts every ten minutes and counts from zero, in mid-track too."""
    order: dict[tuple[str, int], dict[int, int]] = {}
    found: Tracks = []
    for image in images:
        here = order.setdefault((image.camera, int(image.time_s // 600)), {})
        found.append(str(here.setdefault(image.visit, len(here))))
    return found


TRACKED = BoxesLaw("tracked", 1.0, _tracked)
UNTRACKED = BoxesLaw("untracked, 0.5 Hz", 2.0, _untracked)
UNTRACKED_2HZ = BoxesLaw("untracked, 2 Hz", 0.5, _untracked)
UNTRACKED_10HZ = BoxesLaw("untracked, 10 Hz", 0.1, _untracked)
SENTINEL = BoxesLaw("sentinel", 1.0, _sentinel)
BROKEN = BoxesLaw("broken", 1.0, _broken)
SWITCHED = BoxesLaw("switched", 1.0, _switched)
REUSED = BoxesLaw("reused", 1.0, _reused)
RESTARTED = BoxesLaw("restarted", 1.0, _restarted)
UNTRACKED_1HZ = BoxesLaw("untracked, 1 Hz", 1.0, _untracked)
