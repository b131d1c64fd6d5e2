"""Axis analytics scene description: Analytics Data Format in its beta and its first version.

Source: developer.axis.com, axis-scene-metadata, "Analytics Data Format" (frame, object snapshot,
object track; and the same of the beta). A frame holds positions, in the beta also pictures; an
object snapshot and a track hold one picture. The message names the channel only, or nothing: the
device is in the MQTT topic (``axis/SERIAL/...``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from stgal_stream.types import Reason
from stgal_stream.wire.fields import BadRecord
from stgal_stream.wire.formats.codec import Content, Format, Origin, converted
from stgal_stream.wire.raw_detection import RawDetection

_PICTURES = (
    "Axis frames hold positions only: switch on object snapshots (object-snapshot configuration, "
    "`enabled`) and send their topic too"
)
# Axis leaves the class out where it is not sure: not a person unless input.person_types says so.
_UNCLASSIFIED = "unclassified"
_N_TOPIC_PARTS = 3  # axis/SERIAL/...


class _Box(msgspec.Struct):
    left: float
    top: float
    right: float
    bottom: float


class _Class(msgspec.Struct):
    type: str
    score: float | None = None


class _Image(msgspec.Struct):
    data: str
    bounding_box: _Box | None = None
    crop_box: _Box | None = None
    timestamp: str | float | None = None


class _Observation(msgspec.Struct):
    """An object of a frame: ``track_id`` is the beta's name of ``object_track_id``."""

    bounding_box: _Box
    track_id: str | int | None = None
    object_track_id: str | int | None = None
    class_: _Class | None = msgspec.field(name="class", default=None)
    image: _Image | None = None


class _Frame(msgspec.Struct):
    timestamp: str | float
    channel_id: str | int | None = None
    observations: list[_Observation] = []
    detections: list[_Observation] = []


class _Part(msgspec.Struct):
    object_track_id: str | int


class _Message(msgspec.Struct):
    """Any of the messages; which one it is follows from the keys that it has."""

    frame: _Frame | None = None
    channel_id: str | int | None = None
    timestamp: str | float | None = None
    detections: list[_Observation] | None = None
    id: str | int | None = None
    object_track_id: str | int | None = None
    crop_box: _Box | None = None
    data: str | None = None
    class_: _Class | None = msgspec.field(name="class", default=None)
    classes: list[_Class] = []
    image: _Image | None = None
    start_time: str | float | None = None
    parts: list[_Part] = []


def _recognises(content: Content) -> bool:
    if "frame" in content:
        return isinstance(content["frame"], dict) and "observations" in content["frame"]
    if "channel_id" in content:
        known = {"crop_box", "detections", "track_events", "start_time", "path", "timestamp"}
        return not known.isdisjoint(content)
    return {"start_time", "duration", "id"} <= content.keys() or _is_wrapped(content)


def _is_wrapped(content: Content) -> bool:
    """The oldest form: a frame in `data`."""
    return isinstance(content.get("data"), dict) and "frame" in content["data"]


def _read(content: Content, origin: Origin) -> Iterator[RawDetection]:
    message = converted(content["data"] if _is_wrapped(content) else content, _Message)
    if message.frame is not None:
        yield from _observations(message.frame, origin)
    elif message.data is not None:
        yield _snapshot(message, message.data, origin)
    elif message.start_time is not None or message.image is not None:
        yield from _track(message, origin)
    elif message.timestamp is not None:
        found = message.detections or []
        yield from _observations(_Frame(message.timestamp, message.channel_id, found), origin)
    else:
        raise BadRecord(Reason.SCHEMA, "no frame, object snapshot or track of Axis")


def _observations(frame: _Frame, origin: Origin) -> Iterator[RawDetection]:
    for seen in frame.observations + frame.detections:
        track = seen.object_track_id if seen.track_id is None else seen.track_id
        yield RawDetection(
            camera=_camera(frame.channel_id, origin),
            timestamp=frame.timestamp,
            track=track,
            raw_box=_corners(seen.bounding_box),
            picture=None if seen.image is None else (seen.image.data, None),
            **_classified(seen.class_),
        )


def _snapshot(message: _Message, data: str, origin: Origin) -> RawDetection:
    return RawDetection(
        camera=_camera(message.channel_id, origin),
        timestamp=message.timestamp,
        id=message.id,
        track=message.object_track_id,
        raw_box=None if message.crop_box is None else _corners(message.crop_box),
        picture=(data, None),
        **_classified(message.class_),
    )


def _track(message: _Message, origin: Origin) -> Iterator[RawDetection]:
    """A whole track with its best picture, as one sighting at that picture's time. Without a
    picture it says nothing that its frames did not."""
    image = message.image
    box = None if image is None else image.crop_box or image.bounding_box
    picture_time = None if image is None else image.timestamp
    yield RawDetection(
        camera=_camera(message.channel_id, origin),
        timestamp=message.start_time if picture_time is None else picture_time,
        id=message.id,
        track=message.parts[0].object_track_id if message.parts else message.id,
        raw_box=None if box is None else _corners(box),
        picture=None if image is None else (image.data, None),
        **_classified(message.classes[0] if message.classes else message.class_),
    )


def _classified(found: _Class | None) -> dict[str, Any]:
    if found is None:
        return {"type": _UNCLASSIFIED}
    return {"type": found.type, "confidence": found.score}


def _corners(box: _Box) -> tuple[float, float, float, float]:
    return box.left, box.top, box.right, box.bottom


def _camera(channel: str | int | None, origin: Origin) -> str | None:
    """The device, as its MQTT topic names it, and the channel."""
    parts = (origin.topic or "").split("/")
    is_prefixed = parts[0] == "axis" and len(parts) >= _N_TOPIC_PARTS
    names = [parts[1] if is_prefixed else origin.topic, channel]
    return "/".join(str(name) for name in names if name is not None) or None


FORMAT = Format("axis", _recognises, _read, _PICTURES)
