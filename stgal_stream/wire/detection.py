"""``stgal.detection.v1``: bytes from a camera -> a detection to embed, or why not.

Two forms: JSON (schemas/detection.v1.json, NVIDIA nvschema's field names), and compact, where the
record's value is the encoded crop itself and the rest rides in Kafka headers of the same names.
What producers bend is taken where its meaning is certain (``wire.fields``).
"""

from __future__ import annotations

import codecs
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from stgal_stream.log.port import Record
from stgal_stream.settings import EmbedSettings
from stgal_stream.types import Box, Reason, Vector
from stgal_stream.wire.fields import (
    BadRecord,
    box_of,
    confidence_of,
    is_picture,
    name_of,
    parse_time_s,
    picture_of,
    track_of,
    vector_of,
)

SCHEMA = "stgal.detection.v1"
DEFAULT_SITE = "default"


@dataclass(frozen=True, slots=True)
class DetectionMessage:
    """A detection as it came: with an encoded crop, or a vector embedded upstream."""

    id: str
    site: str
    camera: str
    time_s: float
    track_id: str | None
    box: Box | None
    confidence: float | None
    crop: bytes | None
    vector: Vector | None
    model: str | None


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


_DECODER = msgspec.json.Decoder(_Detection)


def decode(record: Record, limits: EmbedSettings) -> DetectionMessage:
    """Reads one record.

    Raises:
        BadRecord: with the reason code and what is wrong.
    """
    if record.fault is not None:
        raise BadRecord(Reason.SCHEMA, record.fault)
    if len(record.value) > limits.max_record_bytes:
        detail = f"{len(record.value)} bytes, at most {limits.max_record_bytes} are allowed"
        raise BadRecord(Reason.RECORD_TOO_LARGE, detail)
    headers = dict(record.headers)
    if "sensorId" in headers:
        message = _from_headers(headers, record.value, limits)
    else:
        message = _from_json(record, limits)
    ahead = message.time_s - record.append_time_s
    if ahead > limits.max_future_s:
        detail = f"{ahead:.1f} s ahead of the time at which the log took it"
        raise BadRecord(Reason.FUTURE_TIMESTAMP, detail)
    return message


def crop_in(record: Record) -> bytes | None:
    """The encoded picture of a record that was taken before; None where it brought a vector.

    Raises:
        BadRecord: there is none that can be read.
    """
    if "sensorId" in dict(record.headers):
        return record.value
    raw = _parsed(record.value)
    if raw.embedding is not None or raw.crop is None:
        return None
    return picture_of(raw.crop.data, raw.crop.media_type)


def _parsed(value: bytes) -> _Detection:
    try:
        return _DECODER.decode(value.removeprefix(codecs.BOM_UTF8))
    except msgspec.ValidationError as error:
        if "timestamp" in str(error):
            raise BadRecord(Reason.BAD_TIMESTAMP, str(error)) from error
        raise BadRecord(Reason.SCHEMA, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRecord(Reason.NOT_JSON, str(error)) from error


def _from_json(record: Record, limits: EmbedSettings) -> DetectionMessage:
    raw = _parsed(record.value)
    if raw.schema not in (None, SCHEMA):
        raise BadRecord(Reason.UNKNOWN_TYPE, f"schema {raw.schema[:64]!r}, not {SCHEMA!r}")
    thing = _the_object(raw)
    crop, vector, model = None, None, None
    if raw.embedding is not None:
        vector = vector_of(raw.embedding.vector)
        model = _model(raw.embedding.model, limits)
    elif raw.crop is not None:
        crop = picture_of(raw.crop.data, raw.crop.media_type)
    else:
        raise BadRecord(Reason.SCHEMA, "neither a crop nor an embedding")
    box = thing.bbox
    return _checked(
        _derived_id(record) if raw.id is None else raw.id,
        raw.site,
        raw.sensor_id,
        _timestamp(raw),
        thing,
        None if box is None else (box.left, box.top, box.right, box.bottom),
        crop,
        vector,
        model,
        limits,
    )


def _the_object(raw: _Detection) -> _Object:
    """The object of a record, also where it came as a list of one."""
    if raw.objects is None:
        return raw.object or _Object()
    if raw.object is not None or len(raw.objects) != 1:
        detail = f"objects holds {len(raw.objects)}; a record is of one person, in `object`"
        raise BadRecord(Reason.SCHEMA, detail)
    return raw.objects[0]


def _timestamp(raw: _Detection) -> str | float:
    stamps = [stamp for stamp in (raw.timestamp, raw.at_timestamp) if stamp is not None]
    if not stamps:
        raise BadRecord(Reason.BAD_TIMESTAMP, "there is no `timestamp`")
    return stamps[0]


def _model(name: str | None, limits: EmbedSettings) -> str:
    """What embedded a vector: as the record says, else as configured."""
    if name is None and not limits.upstream_model:
        raise BadRecord(
            Reason.SCHEMA,
            "embedding.model is missing; embed.upstream_model names it for records without it",
        )
    return name_of(name if name is not None else limits.upstream_model, "embedding.model")


def _derived_id(record: Record) -> str:
    """A name for a record that has none: it follows from the content and the place in the log."""
    at = record.partition
    place = f"{at.topic}/{at.number}/{record.offset}".encode()
    return hashlib.blake2b(place + b"\0" + record.value, digest_size=12).hexdigest()


def _from_headers(
    headers: dict[str, bytes], value: bytes, limits: EmbedSettings
) -> DetectionMessage:
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
    if not is_picture(value):
        raise BadRecord(Reason.BAD_IMAGE, "the value is neither JPEG, PNG nor WebP")
    try:
        confidence = float(text["object.confidence"]) if "object.confidence" in text else None
    except ValueError as error:
        raise BadRecord(Reason.SCHEMA, f"header object.confidence: {error}") from error
    return _checked(
        text["id"],
        text.get("site"),
        text["sensorId"],
        text["timestamp"],
        _Object(text.get("object.id"), text.get("object.type"), confidence),
        _box_header(text.get("object.bbox")),
        value,
        None,
        None,
        limits,
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


def _checked(
    id_: str | int,
    site: str | None,
    camera: str | int,
    timestamp: str | float,
    thing: _Object,
    box: tuple[float, float, float, float] | None,
    crop: bytes | None,
    vector: Vector | None,
    model: str | None,
    limits: EmbedSettings,
) -> DetectionMessage:
    if thing.type is not None and str(thing.type).lower() not in limits.person_types:
        raise BadRecord(
            Reason.UNKNOWN_TYPE,
            f"object of type {str(thing.type)[:64]!r}, not a person (embed.person_types)",
        )
    return DetectionMessage(
        id=name_of(id_, "id"),
        site=DEFAULT_SITE if site is None else name_of(site, "site"),
        camera=name_of(camera, "sensorId"),
        time_s=parse_time_s(timestamp, _zone(limits.timestamp_zone)),
        track_id=track_of(thing.id),
        box=None if box is None else box_of(*box),
        confidence=confidence_of(thing.confidence),
        crop=crop,
        vector=vector,
        model=model,
    )


@lru_cache(maxsize=8)
def _zone(name: str) -> ZoneInfo | None:
    return ZoneInfo(name) if name else None
