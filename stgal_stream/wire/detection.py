"""``stgal.detection.v1``: bytes from a camera -> a detection to embed, or why not.

Two forms: JSON (schemas/detection.v1.json, NVIDIA nvschema's field names), and compact, where the
record's value is the encoded crop itself and the rest rides in Kafka headers of the same names.
"""

from __future__ import annotations

import base64
import binascii
import math
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import numpy as np

from stgal_stream.log.port import Record
from stgal_stream.types import Box, Reason, Vector

SCHEMA = "stgal.detection.v1"
DEFAULT_SITE = "default"
PERSON_TYPES = frozenset({"person", "pedestrian"})
MEDIA_TYPES = frozenset({"image/jpeg", "image/png", "image/webp"})
_MAX_COORDINATE_PX = 65_536.0
_MAX_NAME = 256
_LAST_TIME_S = 7_258_118_400.0  # 2200-01-01
_MAX_DIM = 16_384
# What producers write where nothing tracks: DeepStream's UNTRACKED_OBJECT_ID (2^64 - 1) and its
# casts to other integers and to a double, -1 as in MOT files, and the words of JSON writers.
_UNTRACKED = frozenset(
    {"", "-1", "none", "null", "nan", "undefined", "untracked", "0xffffffffffffffff"}
    | {str(2**bits - 1) for bits in (31, 32, 63, 64)}
    | {str(2**64), repr(float(2**64)), "-1.0"}
)
_MAGIC = ((b"\xff\xd8", "image/jpeg"), (b"\x89PNG", "image/png"), (b"RIFF", "image/webp"))


class BadRecord(Exception):
    """A record that cannot be used, with its reason code."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


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
    type: str | None = None
    confidence: float | None = None
    bbox: _Bbox | None = None


class _Crop(msgspec.Struct):
    media_type: str = msgspec.field(name="mediaType")
    data: str


class _Embedding(msgspec.Struct):
    vector: list[float] | str
    model: str


class _Detection(msgspec.Struct):
    id: str
    timestamp: str
    sensor_id: str = msgspec.field(name="sensorId")
    schema: str | None = None
    site: str | None = None
    object: _Object | None = None
    crop: _Crop | None = None
    embedding: _Embedding | None = None


_DECODER = msgspec.json.Decoder(_Detection)


def decode(record: Record, max_bytes: int, max_future_s: float) -> DetectionMessage:
    """Reads one record.

    Raises:
        BadRecord: with the reason code and what is wrong.
    """
    if record.fault is not None:
        raise BadRecord(Reason.SCHEMA, record.fault)
    if len(record.value) > max_bytes:
        detail = f"{len(record.value)} bytes, at most {max_bytes} are allowed"
        raise BadRecord(Reason.RECORD_TOO_LARGE, detail)
    headers = dict(record.headers)
    if "sensorId" in headers:
        message = _from_headers(headers, record.value)
    else:
        message = _from_json(record.value)
    ahead = message.time_s - record.append_time_s
    if ahead > max_future_s:
        detail = f"{ahead:.1f} s ahead of the time at which the log took it"
        raise BadRecord(Reason.FUTURE_TIMESTAMP, detail)
    return message


def _from_json(value: bytes) -> DetectionMessage:
    try:
        raw = _DECODER.decode(value)
    except msgspec.ValidationError as error:
        if "timestamp" in str(error):
            raise BadRecord(Reason.BAD_TIMESTAMP, str(error)) from error
        raise BadRecord(Reason.SCHEMA, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRecord(Reason.NOT_JSON, str(error)) from error
    if raw.schema not in (None, SCHEMA):
        raise BadRecord(Reason.UNKNOWN_TYPE, f"schema {raw.schema[:64]!r}, not {SCHEMA!r}")
    thing = raw.object or _Object()
    crop, vector, model = None, None, None
    if raw.embedding is not None:
        vector = _vector(raw.embedding.vector)
        model = _name(raw.embedding.model, "embedding.model")
    elif raw.crop is not None:
        if raw.crop.media_type not in MEDIA_TYPES:
            raise BadRecord(Reason.UNKNOWN_TYPE, f"crop of type {raw.crop.media_type[:64]!r}")
        crop = _base64(raw.crop.data, Reason.BAD_IMAGE, "crop.data")
    else:
        raise BadRecord(Reason.SCHEMA, "neither a crop nor an embedding")
    box = thing.bbox
    return _checked(
        raw.id,
        raw.site,
        raw.sensor_id,
        raw.timestamp,
        _text(thing.id),
        thing.type,
        thing.confidence,
        None if box is None else (box.left, box.top, box.right, box.bottom),
        crop,
        vector,
        model,
    )


def _from_headers(headers: dict[str, bytes], value: bytes) -> DetectionMessage:
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
    if not any(value.startswith(magic) for magic, _ in _MAGIC):
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
        text.get("object.id"),
        text.get("object.type"),
        confidence,
        _box_header(text.get("object.bbox")),
        value,
        None,
        None,
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
    id_: str,
    site: str | None,
    camera: str,
    timestamp: str,
    track_id: str | None,
    type_: str | None,
    confidence: float | None,
    box: tuple[float, float, float, float] | None,
    crop: bytes | None,
    vector: Vector | None,
    model: str | None,
) -> DetectionMessage:
    if type_ is not None and type_.lower() not in PERSON_TYPES:
        raise BadRecord(Reason.UNKNOWN_TYPE, f"object of type {type_[:64]!r}, not a person")
    if confidence is not None and not 0 <= confidence <= 1:
        raise BadRecord(Reason.SCHEMA, f"confidence {confidence}, not between 0 and 1")
    return DetectionMessage(
        id=_name(id_, "id"),
        site=DEFAULT_SITE if site is None else _name(site, "site"),
        camera=_name(camera, "sensorId"),
        time_s=parse_time_s(timestamp),
        track_id=track_of(track_id),
        box=None if box is None else _box(*box),
        confidence=confidence,
        crop=crop,
        vector=vector,
        model=model,
    )


def parse_time_s(timestamp: str) -> float:
    """RFC 3339 with an offset -> Unix seconds.

    Raises:
        BadRecord: it is not one, names no offset, or lies before 1970.
    """
    try:
        moment = msgspec.convert(timestamp, datetime)
    except msgspec.ValidationError as error:
        detail = f"{timestamp[:64]!r} is no RFC 3339 timestamp"
        raise BadRecord(Reason.BAD_TIMESTAMP, detail) from error
    if moment.tzinfo is None:
        raise BadRecord(Reason.BAD_TIMESTAMP, f"{timestamp[:64]!r} has no UTC offset")
    try:
        time_s = moment.timestamp()
    except OverflowError as error:
        raise BadRecord(Reason.BAD_TIMESTAMP, f"{timestamp[:64]!r} is out of range") from error
    if time_s < 0:
        raise BadRecord(Reason.BAD_TIMESTAMP, f"{timestamp[:64]!r} lies before 1970")
    if time_s > _LAST_TIME_S:
        raise BadRecord(Reason.BAD_TIMESTAMP, f"{timestamp[:64]!r} lies after 2199")
    return time_s


def format_time(time_s: float) -> str:
    """Unix seconds -> RFC 3339 UTC with microseconds."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _name(value: str | None, field: str) -> str:
    if not value or len(value) > _MAX_NAME or not value.isprintable():
        detail = f"{field} must be 1 to {_MAX_NAME} printable characters"
        raise BadRecord(Reason.SCHEMA, detail)
    return value


def _box(left: float, top: float, right: float, bottom: float) -> Box:
    values = (left, top, right, bottom)
    if not all(math.isfinite(v) and abs(v) <= _MAX_COORDINATE_PX for v in values):
        raise BadRecord(Reason.BAD_BOX, f"coordinates beyond {_MAX_COORDINATE_PX:.0f} px")
    if right <= left or bottom <= top:
        raise BadRecord(Reason.BAD_BOX, "the box has no area")
    return Box(left, top, right, bottom)


def _text(track: str | float | None) -> str | None:
    """A track's id as text; 7 and 7.0 are one track."""
    if isinstance(track, float) and track.is_integer():
        return str(int(track))
    return None if track is None else str(track)


def track_of(value: str | None) -> str | None:
    """The camera's track; None where it says, in whatever spelling, that there is none."""
    if value is None or value.strip().lower() in _UNTRACKED:
        return None
    return _name(value, "object.id")


def _base64(text: str, reason: Reason, field: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRecord(reason, f"{field} is not base64: {error}") from error


def _vector(raw: list[float] | str) -> Vector:
    if isinstance(raw, str):
        data = _base64(raw, Reason.BAD_VECTOR, "embedding.vector")
        if len(data) % 4:
            raise BadRecord(Reason.BAD_VECTOR, f"{len(data)} bytes are no float32 numbers")
        vector = np.frombuffer(data, dtype="<f4").astype(np.float32)
    else:
        with np.errstate(over="ignore"):
            vector = np.array(raw, dtype=np.float64).astype(np.float32)
    return check_vector(vector)


def check_vector(vector: Vector) -> Vector:
    """The vector, if distances to it mean something.

    Raises:
        BadRecord: it is empty, far too long, zero, not finite, or its square overflows float32.
    """
    if not 1 <= vector.size <= _MAX_DIM:
        raise BadRecord(Reason.BAD_VECTOR, f"{vector.size} numbers, not 1 to {_MAX_DIM}")
    if not np.isfinite(vector).all():
        raise BadRecord(Reason.BAD_VECTOR, "a number is NaN or infinite")
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if not 1e-12 < length < 1e15:
        raise BadRecord(Reason.BAD_VECTOR, "the vector is zero or out of range")
    return vector
