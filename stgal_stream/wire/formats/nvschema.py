"""NVIDIA Metropolis nvschema: ``nv.Frame``, the people of one camera's frame with their vectors.

Source: docs.nvidia.com/vss, "Protobuf Schema" (earlier docs.nvidia.com/mms, MDX_Protobuf_Schema),
and DeepStream's schema.proto. On the topic ``mdx-raw`` frames are binary protobuf; programs write
them as JSON too. What is empty or zero may be left out in either. ``id`` is the frame's number,
which begins anew when the pipeline does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from stgal_stream.wire.formats.codec import Content, Format, Origin, converted
from stgal_stream.wire.raw_detection import RawDetection

_PICTURES = (
    "nvschema frames hold positions only: switch on the tracker's re-ID features "
    "(ReID outputReidTensor: 1) and send them as `embedding`"
)


class _Bbox(msgspec.Struct):
    left: float = msgspec.field(name="leftX", default=0.0)
    top: float = msgspec.field(name="topY", default=0.0)
    right: float = msgspec.field(name="rightX", default=0.0)
    bottom: float = msgspec.field(name="bottomY", default=0.0)


class _Embedding(msgspec.Struct):
    vector: list[Any] | str = []
    model: str | None = None
    info: dict[str, Any] | None = None


class _Object(msgspec.Struct):
    id: str | int | float | None = None
    type: str | int | None = None
    confidence: float | None = None
    bbox: _Bbox | None = None
    embedding: _Embedding | list[Any] | None = None


class _Frame(msgspec.Struct):
    sensor_id: str | int = msgspec.field(name="sensorId")
    timestamp: str | int | float | None = None
    at_timestamp: str | int | float | None = msgspec.field(name="@timestamp", default=None)
    objects: list[_Object] | None = None


def _recognises(content: Content) -> bool:
    """`objects` holds JSON objects; our own record of one would bring its crop beside them."""
    things = content.get("objects")
    if "sensorId" not in content or "crop" in content or not isinstance(things, list):
        return False
    return not things or isinstance(things[0], dict)


def _read(content: Content, origin: Origin) -> Iterator[RawDetection]:
    frame = converted(content, _Frame)
    time = frame.at_timestamp if frame.timestamp is None else frame.timestamp
    for thing in frame.objects or ():
        vector, model = _vector(thing.embedding)
        box = thing.bbox
        corners = None if box is None else (box.left, box.top, box.right, box.bottom)
        yield detection_of(frame.sensor_id, time, thing, corners, vector, model)


def _vector(embedding: _Embedding | list[Any] | None) -> tuple[Any, str | None]:
    """The vector, where there is one, and its model's name."""
    if isinstance(embedding, list):
        return embedding or None, None
    if embedding is None or not embedding.vector:
        return None, None
    name = embedding.model or (embedding.info or {}).get("model")
    return embedding.vector, name if isinstance(name, str) else None


def detection_of(
    camera: str | int,
    time: str | float | None,
    thing: Any,
    corners: tuple[float, float, float, float] | None,
    vector: Any,
    model: str | None,
) -> RawDetection:
    """One object of a frame, be it from JSON or from protobuf."""
    return RawDetection(
        camera=camera,
        timestamp=time,
        type=thing.type or None,
        track=thing.id,
        # In frames of several cameras together (mdx-bev) boxes are left at zero.
        raw_box=corners if corners and any(corners) else None,
        # A detector's score is never 0: DeepStream writes it where it has none, -0.1 too.
        confidence=thing.confidence if thing.confidence and thing.confidence > 0 else None,
        vector=vector,
        model=model,
    )


FORMAT = Format("nvschema", _recognises, _read, _PICTURES)
