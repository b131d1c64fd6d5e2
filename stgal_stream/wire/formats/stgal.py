"""``stgal.detection.v1``, the format of this project: one person a record.

JSON (schemas/detection.v1.json, with NVIDIA nvschema's field names), or compact: the record's value
is the encoded crop itself and the rest rides in Kafka headers of the same names.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from stgal_stream.types import Reason
from stgal_stream.wire.fields import BadRecord
from stgal_stream.wire.formats.codec import Content, Format, Origin, converted
from stgal_stream.wire.raw_detection import RawDetection

SCHEMA = "stgal.detection.v1"


class _Bbox(msgspec.Struct):
    left: float = msgspec.field(name="leftX")
    top: float = msgspec.field(name="topY")
    right: float = msgspec.field(name="rightX")
    bottom: float = msgspec.field(name="bottomY")


class _Object(msgspec.Struct):
    id: str | int | float | None = None
    type: str | int | None = None
    confidence: float | None = None
    bbox: _Bbox | None = None


class _Crop(msgspec.Struct):
    data: str
    media_type: str | None = msgspec.field(name="mediaType", default=None)


class _Embedding(msgspec.Struct):
    vector: list[Any] | str
    model: str | None = None


class _Detection(msgspec.Struct):
    sensor_id: str | int = msgspec.field(name="sensorId")
    id: str | int | None = None
    timestamp: str | int | float | None = None
    at_timestamp: str | int | float | None = msgspec.field(name="@timestamp", default=None)
    schema: str | None = None
    site: str | None = None
    object: _Object | None = None
    objects: list[_Object] | None = None
    crop: _Crop | None = None
    embedding: _Embedding | None = None


def _recognises(content: Content) -> bool:
    return "sensorId" in content and not content.keys().isdisjoint(("crop", "embedding", "schema"))


def _read(content: Content, origin: Origin) -> Iterator[RawDetection]:
    raw = converted(content, _Detection)
    if raw.schema not in (None, SCHEMA):
        raise BadRecord(Reason.UNKNOWN_TYPE, f"schema {raw.schema[:64]!r}, not {SCHEMA!r}")
    thing, box = _the_object(raw), None
    if thing.bbox is not None:
        box = (thing.bbox.left, thing.bbox.top, thing.bbox.right, thing.bbox.bottom)
    yield RawDetection(
        camera=raw.sensor_id,
        timestamp=raw.at_timestamp if raw.timestamp is None else raw.timestamp,
        id=raw.id,
        site=raw.site,
        type=thing.type,
        track=thing.id,
        raw_box=box,
        confidence=thing.confidence,
        picture=None if raw.crop is None else (raw.crop.data, raw.crop.media_type),
        vector=None if raw.embedding is None else raw.embedding.vector,
        model=None if raw.embedding is None else raw.embedding.model,
    )


def _the_object(raw: _Detection) -> _Object:
    """The object of a record, also where it came as a list of one."""
    if raw.objects is None:
        return raw.object or _Object()
    if raw.object is not None or len(raw.objects) != 1:
        detail = f"objects holds {len(raw.objects)}; a record is of one person, in `object`"
        raise BadRecord(Reason.SCHEMA, detail)
    return raw.objects[0]


FORMAT = Format("stgal", _recognises, _read, "send `crop` or `embedding`")


def read_compact(headers: dict[str, bytes], value: bytes) -> RawDetection:
    """The compact form.

    Raises:
        BadRecord: a header is missing, or no text or number.
    """
    try:
        text = {name: content.decode() for name, content in headers.items()}
    except UnicodeDecodeError as error:
        raise BadRecord(Reason.SCHEMA, f"a header is not UTF-8: {error}") from error
    for name in ("id", "timestamp"):
        if name not in text:
            reason = Reason.BAD_TIMESTAMP if name == "timestamp" else Reason.SCHEMA
            raise BadRecord(reason, f"header {name!r} is missing")
    if text.get("schema", SCHEMA) != SCHEMA:
        raise BadRecord(Reason.UNKNOWN_TYPE, f"schema {text['schema'][:64]!r}, not {SCHEMA!r}")
    try:
        confidence = float(text["object.confidence"]) if "object.confidence" in text else None
    except ValueError as error:
        raise BadRecord(Reason.SCHEMA, f"header object.confidence: {error}") from error
    return RawDetection(
        camera=text["sensorId"],
        timestamp=text["timestamp"],
        id=text["id"],
        site=text.get("site"),
        type=text.get("object.type"),
        track=text.get("object.id"),
        raw_box=_box_header(text.get("object.bbox")),
        confidence=confidence,
        picture=value,
    )


def _box_header(text: str | None) -> tuple[float, float, float, float] | None:
    """``left,top,right,bottom`` in pixels."""
    if text is None:
        return None
    try:
        left, top, right, bottom = (float(part) for part in text.split(","))
    except ValueError as error:
        raise BadRecord(Reason.BAD_BOX, f"header object.bbox: {error}") from error
    return left, top, right, bottom
