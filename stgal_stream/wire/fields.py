"""What producers write in the fields of a detection, and what it means.

A value is taken where its meaning is certain, however it is spelt; else it is refused by a sentence
that names the field, what it holds and what is expected.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from contextlib import suppress
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from stgal_stream.types import Box, Floats, Reason, Vector

MEDIA_TYPES = {
    "image/jpeg": "image/jpeg",
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/png": "image/png",
    "image/webp": "image/webp",
}
_MAGIC = (b"\xff\xd8", b"\x89PNG", b"RIFF")
_MAX_COORDINATE_PX = 65_536.0
_MAX_NAME = 256
_MAX_DIM = 16_384
_SHORTEST, _LONGEST = 1e-24, 1e30  # squared lengths whose squares and ratios float32 can hold
_LAST_TIME_S = 7_258_118_400.0  # 2200-01-01
# Unix time by its size: seconds, milli-, micro- and nanoseconds between 1973 and 2286.
_UNITS = tuple((1e8 * unit, 1e10 * unit, unit) for unit in (1.0, 1e3, 1e6, 1e9))
_MOMENT = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:[.,](\d{1,12}))? ?"
    r"([Zz]|UTC|[+-]\d{2}:?\d{2}|[+-]\d{2})?"
)
# What producers write where nothing tracks: DeepStream's UNTRACKED_OBJECT_ID (2^64 - 1) and its
# casts to other integers and to a double, -1 as in MOT files, and the words of JSON writers.
_UNTRACKED = frozenset(
    {"", "-1", "none", "null", "nan", "undefined", "untracked", "0xffffffffffffffff"}
    | {str(2**bits - 1) for bits in (31, 32, 63, 64)}
    | {str(2**64), repr(float(2**64)), "-1.0"}
)
_URL_SAFE = str.maketrans("-_", "+/")
# What DeepStream and others write where a detector gives no score.
_NO_SCORE = (-1.0, -0.1)


class BadRecord(Exception):
    """A record that cannot be used, with its reason code."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def parse_time_s(timestamp: str | float, zone: tzinfo | None = None) -> float:
    """A time -> Unix seconds: RFC 3339 and near spellings of it, or Unix time in seconds, milli-,
    micro- or nanoseconds. ``zone`` is that of times which name none.

    Raises:
        BadRecord: it is none of these, names no offset and there is no ``zone``, or lies before
            1970 or after 2199.
    """
    if isinstance(timestamp, str):
        found = _MOMENT.fullmatch(timestamp.strip())
        time_s = _unix_s(timestamp) if found is None else _moment_s(found, zone)
    else:
        time_s = _unix_s(timestamp)
    if time_s < 0:
        raise BadRecord(Reason.BAD_TIMESTAMP, f"{str(timestamp)[:64]!r} lies before 1970")
    if time_s > _LAST_TIME_S:
        raise BadRecord(Reason.BAD_TIMESTAMP, f"{str(timestamp)[:64]!r} lies after 2199")
    return time_s


def _moment_s(found: re.Match[str], zone: tzinfo | None) -> float:
    day, clock, fraction, offset = found.groups()
    text = found.string[:64]
    if offset is None and zone is None:
        raise BadRecord(
            Reason.BAD_TIMESTAMP,
            f"timestamp {text!r} has no UTC offset; input.timestamp_zone says which zone is meant",
        )
    try:
        whole_s = _second_s(f"{day}T{clock}", offset, zone)
    except (ValueError, OverflowError) as error:
        detail = f"timestamp {text!r} is out of range: {error}"
        raise BadRecord(Reason.BAD_TIMESTAMP, detail) from error
    return whole_s + (float(f"0.{fraction}") if fraction else 0.0)


@lru_cache(maxsize=256)  # all cameras tell of the same few seconds
def _second_s(moment: str, offset: str | None, zone: tzinfo | None) -> float:
    if offset in ("Z", "z", "UTC"):
        offset = "+00:00"
    elif offset is not None:
        digits = offset[1:].replace(":", "").ljust(4, "0")
        offset = f"{offset[0]}{digits[:2]}:{digits[2:]}"
    told = datetime.fromisoformat(f"{moment}{offset or ''}")
    return (told.replace(tzinfo=zone) if told.tzinfo is None else told).timestamp()


def _unix_s(value: str | float) -> float:
    try:
        number = float(value)
    except (ValueError, OverflowError):
        number = math.nan
    for low, high, unit in _UNITS:
        if low <= number < high:
            return number / unit
    raise BadRecord(
        Reason.BAD_TIMESTAMP,
        f"timestamp {str(value)[:64]!r} is neither an RFC 3339 time nor Unix time in seconds, "
        "milli-, micro- or nanoseconds",
    )


def format_time(time_s: float) -> str:
    """Unix seconds -> RFC 3339 UTC with microseconds."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def name_of(value: str | int | None, field: str) -> str:
    """A name: 1 to 256 printable characters, or a whole number.

    Raises:
        BadRecord: it is something else.
    """
    text = str(value) if isinstance(value, int) else value
    if not text or len(text) > _MAX_NAME or not text.isprintable():
        detail = f"{field} must be 1 to {_MAX_NAME} printable characters"
        raise BadRecord(Reason.SCHEMA, detail)
    return text


def box_of(left: float, top: float, right: float, bottom: float) -> Box:
    """A box, in pixels or as shares of the picture: it is compared with its camera's others only.

    Raises:
        BadRecord: it has no area, or impossible coordinates.
    """
    most = _MAX_COORDINATE_PX
    if -most <= left < right <= most and -most <= top < bottom <= most:
        return Box(left, top, right, bottom)
    if not all(abs(v) <= most for v in (left, top, right, bottom)):  # also where one is NaN
        raise BadRecord(Reason.BAD_BOX, f"coordinates beyond {most:.0f} px")
    raise BadRecord(Reason.BAD_BOX, "the box has no area")


def confidence_of(value: float | None) -> float | None:
    """A confidence between 0 and 1, also where it came as per cent; None where there is no score.

    Raises:
        BadRecord: it is something else.
    """
    if value is None or value in _NO_SCORE:
        return None
    if 1 < value <= 100:
        return value / 100
    if not 0 <= value <= 1:
        detail = f"object.confidence {value} is neither between 0 and 1 nor per cent"
        raise BadRecord(Reason.SCHEMA, detail)
    return value


def track_of(value: str | float | None) -> str | None:
    """The camera's track; None where it says, in whatever spelling, that there is none. 7 and 7.0
    are one track.

    Raises:
        BadRecord: it is no name.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = None if value is None else str(value)
    if text is None or text.strip().lower() in _UNTRACKED:
        return None
    return name_of(text, "object.id")


def picture_of(text: str, media_type: str | None) -> bytes:
    """An encoded picture: base64 (also its URL-safe and MIME spellings) or a data URI of it.

    Raises:
        BadRecord: it is no base64, or of a type that is not read.
    """
    if text.startswith("data:"):
        head, _, text = text.partition(",")
        media_type, *options = head[5:].split(";")
        if "base64" not in options:
            raise BadRecord(Reason.BAD_IMAGE, "crop.data is a data URI, but not of base64")
    known = None if media_type is None else MEDIA_TYPES.get(media_type.strip().lower())
    if media_type is not None and known is None:
        expected = ", ".join(sorted(set(MEDIA_TYPES.values())))
        detail = f"crop of type {media_type[:64]!r}, expected is {expected}"
        raise BadRecord(Reason.UNKNOWN_TYPE, detail)
    data = base64_of(text, Reason.BAD_IMAGE, "crop.data")
    if known is None and not is_picture(data):
        raise BadRecord(Reason.BAD_IMAGE, "crop.data is neither JPEG, PNG nor WebP")
    return data


def is_picture(data: bytes) -> bool:
    """Whether bytes begin as JPEG, PNG or WebP do."""
    return data.startswith(_MAGIC)


def base64_of(text: str, reason: Reason, field: str) -> bytes:
    """The bytes of base64, in its plain, URL-safe or MIME spelling, padded or not.

    Raises:
        BadRecord: it is no base64.
    """
    if not text.isascii():
        raise BadRecord(reason, f"{field} is not base64: it holds characters beyond ASCII")
    with suppress(msgspec.ValidationError):
        return msgspec.convert(text, bytes)  # the plain spelling, in a third of the time
    plain = "".join(text.split()).translate(_URL_SAFE).rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRecord(reason, f"{field} is not base64: {error}") from error


def vector_of(raw: list[float] | list[list[float]] | str) -> Vector:
    """An embedding, (D,): a list, a list of one list, or base64 of little-endian float32.

    Raises:
        BadRecord: it is none of these, or no distance to it means anything.
    """
    if isinstance(raw, str):
        data = base64_of(raw, Reason.BAD_VECTOR, "embedding.vector")
        if len(data) % 4:
            raise BadRecord(Reason.BAD_VECTOR, f"{len(data)} bytes are no float32 numbers")
        return check_vector(np.frombuffer(data, dtype="<f4").astype(np.float32))
    if raw and isinstance(raw[0], list):
        if len(raw) != 1:
            detail = f"embedding.vector holds {len(raw)} vectors, one is expected"
            raise BadRecord(Reason.BAD_VECTOR, detail)
        raw = raw[0]
    if len(raw) > _MAX_DIM:  # before any number is looked at: a megabyte of what is none takes long
        raise _bad_size(len(raw))
    wide = _doubles(raw)
    _check_length(wide)
    return wide.astype(np.float32)


def _doubles(raw: list[Any]) -> Floats:
    """The numbers, (D,). Packing takes half the time of numpy's own way, which also reads numbers
    that are texts."""
    with suppress(struct.error):
        return np.frombuffer(struct.pack(f"{len(raw)}d", *raw))
    try:
        wide = np.array(raw, dtype=np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise BadRecord(Reason.BAD_VECTOR, f"embedding.vector is no vector: {error}") from error
    if wide.ndim != 1:
        raise BadRecord(Reason.BAD_VECTOR, "embedding.vector is no list of numbers")
    return wide


def check_vector(vector: Vector) -> Vector:
    """The vector, if distances to it mean something.

    Raises:
        BadRecord: it is empty, far too long, zero, not finite, or its square overflows float32.
    """
    _check_length(vector.astype(np.float64))
    return vector


def _check_length(vector: Floats) -> None:
    if not 1 <= vector.size <= _MAX_DIM:
        raise _bad_size(vector.size)
    if _SHORTEST < vector.dot(vector) < _LONGEST:
        return
    if not np.isfinite(vector).all():
        raise BadRecord(Reason.BAD_VECTOR, "a number is NaN or infinite")
    raise BadRecord(Reason.BAD_VECTOR, "the vector is zero or out of range")


def _bad_size(n: int) -> BadRecord:
    return BadRecord(Reason.BAD_VECTOR, f"{n} numbers, not 1 to {_MAX_DIM}")
