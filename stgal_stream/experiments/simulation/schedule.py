"""Rendered people on a real schedule: real identities, cameras and clock, drawn crops."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stgal_stream.errors import DataError
from stgal_stream.experiments.simulation.people import Person, random_person
from stgal_stream.experiments.simulation.renderer import (
    CameraLook,
    encode_jpeg,
    random_look,
    random_pose,
    render,
)
from stgal_stream.experiments.simulation.site import Label, SimulatedDetection

_TIME_COLUMNS = ("time_s", "est_s")
_DISTRACTOR, _JUNK = 0, -1
_FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """One sighting of a schedule; ``person`` is 0 for a distractor and -1 for junk."""

    name: str
    split: str
    person: int
    camera: str
    time_s: float


def read_schedule(path: Path, split: str = "test") -> list[ScheduleRow]:
    """Rows in order of time. Columns ``person_id``, ``camera`` and ``time_s`` (or ``est_s``), and
    where present ``split`` and ``filename``; ``split`` is train, test (query and gallery) or all.

    Raises:
        DataError: the file cannot be read or lacks a column.
    """
    try:
        content = path.read_bytes()
        text = gzip.decompress(content) if path.suffix == ".gz" else content
        table = list(csv.DictReader(text.decode().splitlines()))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV: {error}") from error
    if not table:
        raise DataError(f"{path} holds no row")
    time_column = next((c for c in _TIME_COLUMNS if c in table[0]), None)
    missing = [c for c in ("person_id", "camera") if c not in table[0]]
    if missing or time_column is None:
        wanted = ", ".join(missing or _TIME_COLUMNS)
        raise DataError(f"{path} has no column {wanted}", hint=f"it has {', '.join(table[0])}")
    rows = []
    for number, raw in enumerate(table, start=2):
        try:
            row = ScheduleRow(
                raw.get("filename") or f"row-{number:06d}.jpg",
                raw.get("split") or "gallery",
                int(raw["person_id"]),
                f"c{raw['camera'].removeprefix('c')}",
                float(raw[time_column]),
            )
        except (TypeError, ValueError) as error:
            raise DataError(f"{path}, line {number}: {error}") from error
        if split == "all" or (row.split == "train") == (split == "train"):
            rows.append(row)
    return sorted(rows, key=lambda row: (row.time_s, row.camera, row.name))


class ScheduledPeople:
    """A schedule with rendered people in rendered cameras, wholly given by its seed."""

    def __init__(self, rows: list[ScheduleRow], seed: int) -> None:
        self.rows = rows
        self._seed = seed
        self._start_s = rows[0].time_s if rows else 0.0
        self._people: dict[int, Person] = {}
        self._looks: dict[str, CameraLook] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def detections(self, first: int = 0) -> Iterator[SimulatedDetection]:
        """All sightings in order of time, rendered one by one, from the given one on."""
        for index in range(first, len(self.rows)):
            yield self._render(index)

    def truth(self) -> Iterator[Label]:
        """Who is on each sighting, in the same order."""
        for index, row in enumerate(self.rows):
            yield Label(self._id(index), row.person, row.camera, row.time_s - self._start_s)

    def _id(self, index: int) -> str:
        # Not the row's name: it may say who is on it, and an id goes into the stream.
        return f"{self.rows[index].camera}-{index:06d}"

    def _render(self, index: int) -> SimulatedDetection:
        row = self.rows[index]
        rng = np.random.default_rng([self._seed, 3, index])
        look = self._look(row.camera)
        person: Person | None = None
        if row.person > 0:
            person = self._person(row.person)
        elif row.person == _DISTRACTOR or rng.random() < 0.5:
            person = random_person(rng)  # junk is a bad box as often as an empty one
        occlusion = 0.9 if row.person == _JUNK else 0.12
        crop = render(person, look, random_pose(look, rng, occlusion=occlusion), rng)
        return SimulatedDetection(
            id=self._id(index),
            camera=row.camera,
            time_s=row.time_s - self._start_s,
            person=row.person,
            track_id=None,
            box=None,
            confidence=None,
            crop=encode_jpeg(crop, look),
        )

    def _person(self, number: int) -> Person:
        if number not in self._people:
            self._people[number] = random_person(np.random.default_rng([self._seed, 5, number]))
        return self._people[number]

    def _look(self, camera: str) -> CameraLook:
        if camera not in self._looks:
            key = [self._seed, 6, *camera.encode()]
            self._looks[camera] = random_look(np.random.default_rng(key))
        return self._looks[camera]


def write_dataset(people: ScheduledPeople, root: Path) -> Iterator[int]:
    """Writes the rendered set in Market-1501's layout; gives the number written after each.

    Raises:
        DataError: the directory cannot be written to.
    """
    try:
        for folder in _FOLDERS.values():
            (root / folder).mkdir(parents=True, exist_ok=True)
        for n, (row, seen) in enumerate(zip(people.rows, people.detections(), strict=True), 1):
            (root / _FOLDERS.get(row.split, _FOLDERS["gallery"]) / row.name).write_bytes(seen.crop)
            yield n
    except OSError as error:
        raise DataError(f"{root} cannot be written to: {error.strerror}") from error
