"""NVIDIA Metropolis nvschema: ``nv.Frame``, the people of one camera's frame with their vectors.

Source: docs.nvidia.com/vss, "Protobuf Schema" (earlier docs.nvidia.com/mms, MDX_Protobuf_Schema),
and DeepStream's schema.proto. On the topic ``mdx-raw`` frames are binary protobuf; programs write
them as JSON too. What is empty or zero may be left out in either. ``id`` is the frame's number,
which begins anew when the pipeline does.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message,
    message_factory,
    timestamp_pb2,
)

from stgal_stream.types import Reason
from stgal_stream.wire.fields import BadRecord
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
        yield _detection(frame.sensor_id, time, thing, corners, vector, model)


def _vector(embedding: _Embedding | list[Any] | None) -> tuple[Any, str | None]:
    """The vector, where there is one, and its model's name."""
    if isinstance(embedding, list):
        return embedding or None, None
    if embedding is None or not embedding.vector:
        return None, None
    name = embedding.model or (embedding.info or {}).get("model")
    return embedding.vector, name if isinstance(name, str) else None


def _detection(
    camera: str | int,
    time: str | float | None,
    thing: Any,
    corners: tuple[float, float, float, float] | None,
    vector: Any,
    model: str | None,
) -> RawDetection:
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


# --- binary ----------------------------------------------------------------------------------

_FIELD = descriptor_pb2.FieldDescriptorProto
_STRING, _FLOAT = _FIELD.TYPE_STRING, _FIELD.TYPE_FLOAT
_ONE, _MANY = _FIELD.LABEL_OPTIONAL, _FIELD.LABEL_REPEATED
# The part of the schema that is read: name, number, type or message, label.
_SCHEMA: dict[str, tuple[tuple[str, int, int | str, Any], ...]] = {
    "Bbox": (
        ("leftX", 1, _FLOAT, _ONE),
        ("topY", 2, _FLOAT, _ONE),
        ("rightX", 3, _FLOAT, _ONE),
        ("bottomY", 4, _FLOAT, _ONE),
    ),
    "Embedding": (("vector", 1, _FLOAT, _MANY),),
    "Object": (
        ("id", 1, _STRING, _ONE),
        ("bbox", 2, ".nv.Bbox", _ONE),
        ("type", 3, _STRING, _ONE),
        ("confidence", 4, _FLOAT, _ONE),
        ("embedding", 6, ".nv.Embedding", _ONE),
    ),
    "Frame": (
        ("version", 1, _STRING, _ONE),
        ("id", 2, _STRING, _ONE),
        ("timestamp", 3, ".google.protobuf.Timestamp", _ONE),
        ("sensorId", 4, _STRING, _ONE),
        ("objects", 5, ".nv.Object", _MANY),
    ),
}


@lru_cache(maxsize=1)
def _frame_class() -> Any:
    """The message class of ``nv.Frame``, in a pool of its own."""
    file = descriptor_pb2.FileDescriptorProto(name="nv_frame.proto", package="nv", syntax="proto3")
    file.dependency.append("google/protobuf/timestamp.proto")
    for name, fields in _SCHEMA.items():
        made = file.message_type.add(name=name)
        for field_name, at, kind, label in fields:
            field = made.field.add(name=field_name, number=at, label=label)
            if isinstance(kind, str):
                field.type, field.type_name = _FIELD.TYPE_MESSAGE, kind
            else:
                field.type = _FIELD.Type.ValueType(kind)
    pool = descriptor_pool.DescriptorPool()
    times = descriptor_pb2.FileDescriptorProto()
    timestamp_pb2.DESCRIPTOR.CopyToProto(times)
    pool.Add(times)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("nv.Frame"))


def read_binary(value: bytes) -> Iterator[RawDetection]:
    """The people of a binary ``nv.Frame``.

    Raises:
        BadRecord: it is no such message.
    """
    frame = _frame_class()()
    try:
        frame.ParseFromString(value)
    except (message.DecodeError, UnicodeDecodeError) as error:
        raise BadRecord(Reason.NOT_JSON, "neither a JSON object nor a protobuf nv.Frame") from error
    if not frame.sensorId or not frame.HasField("timestamp"):
        raise BadRecord(Reason.NOT_JSON, "neither a JSON object nor a protobuf nv.Frame")
    time_s = frame.timestamp.seconds + frame.timestamp.nanos / 1e9
    for thing in frame.objects:
        box = thing.bbox
        corners = (box.leftX, box.topY, box.rightX, box.bottomY)
        vector = list(thing.embedding.vector) or None
        yield _detection(frame.sensorId, time_s, thing, corners, vector, None)
