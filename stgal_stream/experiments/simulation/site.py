"""A simulated site: cameras with overlapping views and blind gaps, people who walk through it.

Laws. Zones lie at random in a plane, a camera looks at each, and one zone in three is seen by a
second camera too. People arrive at random, walk from zone to near zone at a pace of their own with
pauses, and half of those who leave come back later. One in eight looks like somebody else. The
cameras' trackers break tracks, miss detections and see people where there are none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stgal_stream.experiments.simulation.people import Person, look_alike, random_person
from stgal_stream.experiments.simulation.renderer import (
    CameraLook,
    Pose,
    encode_jpeg,
    random_look,
    random_pose,
    render,
)
from stgal_stream.types import Box

_BROKEN_TRACK = 0.06
_MISSED = 0.08
_FALSE_ALARM = 0.03
_CROP_SIZE = (128, 64)


@dataclass(frozen=True, slots=True)
class SimulatedDetection:
    """What a camera publishes, and the truth: ``person`` is 0 for a false alarm. Times are
    seconds from the start of the simulation."""

    id: str
    camera: str
    time_s: float
    person: int
    track_id: str | None
    box: Box | None
    confidence: float | None
    crop: bytes


@dataclass(frozen=True, slots=True)
class Label:
    """The truth about one detection; ``person`` is 0 or less where there is nobody to be found."""

    detection_id: str
    person: int
    camera: str
    time_s: float


@dataclass(frozen=True, slots=True)
class _Visit:
    person: int
    camera: int
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class SiteLaw:
    """The size of a simulated site."""

    n_zones: int = 5
    n_people: int = 140
    duration_s: float = 1800.0
    interval_s: float = 1.0


class SimulatedSite:
    """One site, wholly given by its seed."""

    def __init__(self, seed: int, law: SiteLaw | None = None) -> None:
        self.law = law or SiteLaw()
        self._seed = seed
        rng = np.random.default_rng([seed, 1])
        n = self.law.n_zones
        self._zones = rng.uniform(0, 160, size=(n, 2))
        self._zone_of_camera = [*range(n), *range(0, n, 3)]
        self.cameras = [f"cam-{i + 1:02d}" for i in range(len(self._zone_of_camera))]
        self.looks: list[CameraLook] = [random_look(rng) for _ in self.cameras]
        self.people: dict[int, Person] = {}
        for i in range(1, self.law.n_people + 1):
            if i > 8 and rng.random() < 0.125:
                self.people[i] = look_alike(self.people[int(rng.integers(1, i))], rng)
            else:
                self.people[i] = random_person(rng)
        self._visits = sorted(self._walks(rng), key=lambda v: (v.start_s, v.camera, v.person))
        self._moments = self._detection_moments(np.random.default_rng([seed, 2]))

    def __len__(self) -> int:
        """How many detections there will be."""
        return len(self._moments)

    def detections(self, first: int = 0) -> Iterator[SimulatedDetection]:
        """All detections in order of time, rendered one by one, from the given one on."""
        for index in range(first, len(self._moments)):
            yield self._render(index)

    def truth(self) -> Iterator[Label]:
        """Who is on each detection, in the same order."""
        for index, (time_s, camera, person, _) in enumerate(self._moments):
            yield Label(self._id(index), person, self.cameras[camera], time_s)

    # --- walks -------------------------------------------------------------------------------

    def _walks(self, rng: np.random.Generator) -> Iterator[_Visit]:
        for person in self.people:
            pace = float(np.clip(rng.normal(1.35, 0.2), 0.8, 2.0))
            time_s = float(rng.uniform(0, 0.85 * self.law.duration_s))
            yield from self._walk(rng, person, time_s, pace)
            if rng.random() < 0.5:
                back_s = time_s + float(rng.uniform(200, 900))
                yield from self._walk(rng, person, back_s, pace)

    def _walk(
        self, rng: np.random.Generator, person: int, time_s: float, pace: float
    ) -> Iterator[_Visit]:
        zone = int(rng.integers(self.law.n_zones))
        for _ in range(int(rng.integers(2, 6))):
            stay_s = float(rng.uniform(5, 14)) / pace
            if time_s + stay_s > self.law.duration_s:
                return
            for camera, seen in enumerate(self._zone_of_camera):
                if seen == zone:
                    shift = float(rng.uniform(-1.5, 1.5)) if camera >= self.law.n_zones else 0.0
                    start_s = max(0.0, time_s + shift)
                    yield _Visit(person, camera, start_s, start_s + stay_s)
            time_s += stay_s
            following = self._next_zone(rng, zone)
            way = float(np.linalg.norm(self._zones[zone] - self._zones[following])) + 12.0
            time_s += way / pace * float(np.exp(rng.normal(0, 0.08)))
            if rng.random() < 0.12:  # somebody stops to look at something
                time_s += float(rng.exponential(25.0))
            zone = following

    def _next_zone(self, rng: np.random.Generator, zone: int) -> int:
        """A near zone rather than a far one; now and then the same again."""
        if rng.random() < 0.08:
            return zone
        far: NDArray[np.float64] = np.linalg.norm(self._zones - self._zones[zone], axis=1)
        weight = np.exp(-far / 45.0)
        weight[zone] = 0.0
        return int(rng.choice(self.law.n_zones, p=weight / weight.sum()))

    # --- detections --------------------------------------------------------------------------

    def _detection_moments(self, rng: np.random.Generator) -> list[tuple[float, int, int, int]]:
        """(time, camera, person, track) of every detection, in order of time."""
        moments = []
        track = 0
        for visit in self._visits:
            track += 1
            break_s = visit.end_s + 1.0
            if rng.random() < _BROKEN_TRACK:
                break_s = float(rng.uniform(visit.start_s, visit.end_s))
            broken = False
            for time_s in np.arange(visit.start_s, visit.end_s, self.law.interval_s):
                if time_s >= break_s and not broken:
                    broken, track = True, track + 1
                if rng.random() >= _MISSED:
                    jittered = float(time_s + rng.uniform(0, 0.05))
                    moments.append((jittered, visit.camera, visit.person, track))
        for _ in range(int(_FALSE_ALARM * len(moments))):
            track += 1
            time_s = float(rng.uniform(0, self.law.duration_s))
            moments.append((time_s, int(rng.integers(len(self.cameras))), 0, track))
        return sorted(moments)

    def _render(self, index: int) -> SimulatedDetection:
        time_s, camera, person, track = self._moments[index]
        rng = np.random.default_rng([self._seed, 3, index])
        look = self.looks[camera]
        pose = self._pose(look, track, rng)
        crop = render(self.people.get(person), look, pose, rng, _CROP_SIZE)
        left, top = float(rng.uniform(0, 1800)), float(rng.uniform(0, 900))
        tall = float(rng.uniform(150, 180))
        return SimulatedDetection(
            id=self._id(index),
            camera=self.cameras[camera],
            time_s=time_s,
            person=person,
            track_id=str(track),
            box=Box(left, top, left + tall / 2, top + tall),
            confidence=round(float(rng.uniform(0.5, 0.99)), 3),
            crop=encode_jpeg(crop, look),
        )

    def _id(self, index: int) -> str:
        return f"{self.cameras[self._moments[index][1]]}-{index:06d}"

    def _pose(self, look: CameraLook, track: int, rng: np.random.Generator) -> Pose:
        """Within a track a person keeps her heading and changes her step."""
        steady = random_pose(look, np.random.default_rng([self._seed, 4, track]))
        step = random_pose(look, rng)
        heading = steady.heading + float(rng.normal(0, 0.25))
        return Pose(heading % (2 * np.pi), step.phase, step.occluded)
