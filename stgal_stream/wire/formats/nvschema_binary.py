"""NVIDIA Metropolis nvschema in binary: ``nv.Frame`` as protobuf, as on the topic ``mdx-raw``.

A module of its own, since the library takes a tenth of a second to import, which every command
would wait for.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message,
    message_factory,
    timestamp_pb2,
)

from stgal_stream.types import Reason
from stgal_stream.wire.fields import BadRecord
from stgal_stream.wire.formats.nvschema import detection_of
from stgal_stream.wire.raw_detection import RawDetection

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
        yield detection_of(frame.sensorId, time_s, thing, corners, vector, None)
