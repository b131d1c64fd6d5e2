"""Replays: a data set, a schedule or a simulated site as a timestamped stream of detections."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stgal_stream.errors import DataError
from stgal_stream.evaluation.datasets import DatasetImage
from stgal_stream.experiments.sending import Message, Sink, send
from stgal_stream.experiments.simulation.site import Label, SimulatedDetection
from stgal_stream.replacing import replacing
from stgal_stream.wire.fields import format_time
from stgal_stream.wire.formats.stgal import SCHEMA


class Source(Protocol):
    """Something with detections in order of time."""

    def __len__(self) -> int:
        """How many there are."""

    def detections(self, first: int = 0) -> Iterator[SimulatedDetection]:
        """They, from the given one on."""

    def truth(self) -> Iterator[Label]:
        """Who is on each, in the same order."""


class DatasetSource:
    """The images of a data set; file and label stay apart, so nothing of the truth is sent."""

    def __init__(self, images: list[DatasetImage]) -> None:
        self._images = images
        self._start_s = images[0].time_s if images else 0.0

    def __len__(self) -> int:
        return len(self._images)

    def detections(self, first: int = 0) -> Iterator[SimulatedDetection]:
        """All images from the given one on."""
        for index in range(first, len(self._images)):
            image = self._images[index]
            try:
                crop = image.path.read_bytes()
            except OSError as error:
                raise DataError(f"{image.path} cannot be read: {error.strerror}") from error
            yield SimulatedDetection(
                id=self._id(index),
                camera=image.camera,
                time_s=image.time_s - self._start_s,
                person=image.person,
                track_id=None,
                box=None,
                confidence=None,
                crop=crop,
            )

    def truth(self) -> Iterator[Label]:
        """Ids with the labels that the file names hold."""
        for index, image in enumerate(self._images):
            yield Label(self._id(index), image.person, image.camera, image.time_s - self._start_s)

    def _id(self, index: int) -> str:
        return f"{self._images[index].camera}-{index:06d}"


def encode_detection(detection: SimulatedDetection, start_s: float, site: str | None) -> bytes:
    """A detection as ``stgal.detection.v1``; its person is not in it."""
    thing: dict[str, object] = {"type": "person"}
    if detection.track_id is not None:
        thing["id"] = detection.track_id
    if detection.confidence is not None:
        thing["confidence"] = detection.confidence
    if detection.box is not None:
        box = detection.box
        corners = (box.left_px, box.top_px, box.right_px, box.bottom_px)
        names = ("leftX", "topY", "rightX", "bottomY")
        thing["bbox"] = {name: round(value, 1) for name, value in zip(names, corners, strict=True)}
    body: dict[str, object] = {
        "schema": SCHEMA,
        "id": detection.id,
        "timestamp": format_time(start_s + detection.time_s),
        "sensorId": detection.camera,
        "object": thing,
        "crop": {
            "mediaType": "image/jpeg",
            "data": base64.b64encode(detection.crop).decode(),
        },
    }
    if site is not None:
        body["site"] = site
    return json.dumps(body, separators=(",", ":")).encode()


@dataclass(slots=True)
class Bookmark:
    """How far a replay has come, in a small file of its own, so that it can go on."""

    path: Path

    @classmethod
    def of(cls, what: str) -> Bookmark:
        """The bookmark of one replay, told apart by its source and target."""
        home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        digest = hashlib.sha256(what.encode()).hexdigest()[:16]
        return cls(Path(home) / "stgal-stream" / f"replay-{digest}.json")

    def read(self) -> int:
        """How many detections were sent; 0 if none were, or nobody can tell."""
        try:
            return int(json.loads(self.path.read_text())["sent"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def write(self, sent: int) -> None:
        """Notes it, atomically."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.path) as made:
            made.write_text(json.dumps({"sent": sent}))

    def remove(self) -> None:
        """The replay is over."""
        self.path.unlink(missing_ok=True)


def replay(
    source: Source,
    sink: Sink,
    *,
    start_s: float,
    speed: float = 0.0,
    site: str | None = None,
    first: int = 0,
    on_sent: Callable[[int], None] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Sends all detections, ``speed`` times as fast as they happened (0: as fast as it goes).

    Gives the number of detections that are sent, those before ``first`` included; ``on_sent``
    hears it after every batch that the sink took.
    """
    messages = (
        Message(d.camera, d.time_s, encode_detection(d, start_s, site))
        for d in source.detections(first)
    )
    return send(messages, sink, speed=speed, first=first, on_sent=on_sent, stopped=stopped)


def write_truth(source: Source, path: Path, start_s: float = 0.0) -> None:
    """``detection_id,person_id,camera,time_s`` of every detection, in seconds of the event time
    that a replay beginning at ``start_s`` gives them: for evaluation only."""
    with replacing(path) as made, made.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(("detection_id", "person_id", "camera", "time_s"))
        for label in source.truth():
            time_s = f"{start_s + label.time_s:.3f}"
            writer.writerow((label.detection_id, label.person, label.camera, time_s))
