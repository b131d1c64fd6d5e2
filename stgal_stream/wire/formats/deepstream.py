"""NVIDIA DeepStream, Gst-nvmsgconv: the full schema (an object a message) and the minimal one (a
frame's objects as text).

Source: docs.nvidia.com/metropolis/deepstream, Gst-nvmsgconv, and nvmsgconv's source of DeepStream
5.0 to 9.1. Full: the class is the *name* of a key of ``object``. Minimal: an object is
``id|left|top|right|bottom|class|...``, where the score stands at other places in each version, and
ends in sections that begin with ``#`` (attributes, pose, ``embedding``, SV3DT).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import msgspec

from stgal_stream.types import Reason
from stgal_stream.wire.fields import BadRecord
from stgal_stream.wire.formats.codec import Content, Format, Found, Origin, converted, number
from stgal_stream.wire.raw_detection import RawDetection

_PICTURES = (
    "DeepStream's message holds a position only: switch on the tracker's re-ID features "
    "(ReID outputReidTensor: 1), so that `embedding` is sent"
)
# Keys of an object beside the one that names its class.
_PLACE = ("bbox", "maskoutline", "location", "coordinate", "pose", "SV3DT", "bbox3d")
_LOOK = ("signature", "embedding", "segmentation")
_NOT_A_CLASS = frozenset(("id", "speed", "direction", "orientation", *_PLACE, *_LOOK))
_N_FIXED = 6  # id, four corners and the class
_SECTIONS = ("embedding", "SV3DT")  # of vectors: no score stands behind their names
_N_ATTRIBUTES = 48  # so many parts before them are looked at; a pose has 34


class _Bbox(msgspec.Struct):
    left: float = msgspec.field(name="topleftx")
    top: float = msgspec.field(name="toplefty")
    right: float = msgspec.field(name="bottomrightx")
    bottom: float = msgspec.field(name="bottomrighty")


class _Sensor(msgspec.Struct):
    id: str | int


class _Full(msgspec.Struct):
    object: dict[str, Any]
    timestamp: str | int | float = msgspec.field(name="@timestamp")
    sensor: _Sensor | None = None
    messageid: str | None = None


class _Embedding(msgspec.Struct):
    vector: list[Any] = msgspec.field(name="embedding_vector", default_factory=list)


class _Object(msgspec.Struct):
    """What is read of an object beside its class."""

    id: str | int | float | None = None
    bbox: _Bbox | None = None
    embedding: _Embedding | None = None
    signature: list[Any] | None = None


class _Class(msgspec.Struct):
    confidence: Any = None


class _Minimal(msgspec.Struct):
    sensor_id: str | int = msgspec.field(name="sensorId")
    timestamp: str | int | float = msgspec.field(name="@timestamp")
    objects: list[str]


_NUMBERS = msgspec.json.Decoder(list[float])


def _recognises(content: Content) -> bool:
    if "@timestamp" not in content:
        return False
    if "sensorId" in content:
        things = content.get("objects")
        return isinstance(things, list) and (not things or isinstance(things[0], str))
    return isinstance(content.get("object"), dict)


def _read(content: Content, origin: Origin) -> Iterator[Found]:
    return _read_minimal(content) if "objects" in content else _read_full(content)


def _read_full(content: Content) -> Iterator[RawDetection]:
    message = converted(content, _Full)
    if message.sensor is None:
        detail = "sensor is missing: its id names the camera (nvmsgconv's configuration file)"
        raise BadRecord(Reason.SCHEMA, detail)
    thing = converted(message.object, _Object)
    box = thing.bbox
    names = [name for name in message.object if name not in _NOT_A_CLASS]
    yield RawDetection(
        camera=message.sensor.id,
        timestamp=message.timestamp,
        id=message.messageid,
        type=names[0] if names else "without a class",
        track=thing.id,
        raw_box=None if box is None else (box.left, box.top, box.right, box.bottom),
        confidence=_score(message.object[names[0]]) if names else None,
        vector=(thing.signature if thing.embedding is None else thing.embedding.vector) or None,
    )


def _score(attributes: Any) -> float | None:
    value = None if attributes is None else converted(attributes, _Class).confidence
    return value if isinstance(value, int | float) and value > 0 else None


def _read_minimal(content: Content) -> Iterator[Found]:
    message = converted(content, _Minimal)
    for text in message.objects:
        if text:  # DeepStream writes an empty text for a frame without objects
            try:
                yield _parts_of(message, text.split("|"))
            except BadRecord as fault:
                yield fault


def _parts_of(message: _Minimal, parts: list[str]) -> RawDetection:
    if len(parts) < _N_FIXED:
        detail = f"objects: {len(parts)} parts, at least id|left|top|right|bottom|class expected"
        raise BadRecord(Reason.SCHEMA, detail)
    left, top, right, bottom = (number(part, "objects, the box") for part in parts[1:5])
    rest = parts[_N_FIXED:]
    return RawDetection(
        camera=message.sensor_id,
        timestamp=message.timestamp,
        type=parts[5],
        track=parts[0],
        raw_box=(left, top, right, bottom),
        confidence=_minimal_score(rest),
        vector=_minimal_vector(rest),
    )


def _minimal_vector(rest: list[str]) -> list[float] | None:
    if "embedding" not in rest:
        return None
    at = rest.index("embedding") + 1
    text = rest[at] if at < len(rest) else ""
    try:
        return _NUMBERS.decode(f"[{text}]")
    except msgspec.MsgspecError:  # numbers that JSON does not know: +1, 1., nan
        parts = list(filter(str.strip, text.split(",")))
    try:
        return list(map(float, parts))
    except ValueError:
        return [number(part, "objects, the embedding") for part in parts]


def _minimal_score(rest: list[str]) -> float | None:
    """The score: right behind the class (DeepStream 7), else the last number before the sections of
    vectors. A ``#`` may stick to it."""
    first = _plain_number(rest[0]) if rest else None
    if first is not None:
        return first
    sections = [rest.index(name) for name in _SECTIONS if name in rest]
    end = min(sections, default=len(rest))
    numbers = map(_plain_number, reversed(rest[max(0, end - _N_ATTRIBUTES) : end]))
    return next((found for found in numbers if found is not None), None)


def _plain_number(text: str) -> float | None:
    text = text.rstrip("#")
    if not text:  # most parts are empty, and an exception takes longer than all else here
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and 0 < value <= 1 else None


FORMAT = Format("deepstream", _recognises, _read, _PICTURES)
