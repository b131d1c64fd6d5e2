"""The port of all codecs, and what several of them need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from stgal_stream.types import Reason
from stgal_stream.wire.fields import BadRecord
from stgal_stream.wire.raw_detection import RawDetection

# The top-level keys of a JSON object, each with its value unread.
Probe = Mapping[str, msgspec.Raw]
Found = RawDetection | BadRecord  # an object of a record, or what is wrong with it alone
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Origin:
    """What is known of a record beside its value: the MQTT topic that it came from, if any."""

    topic: str | None = None


@dataclass(frozen=True, slots=True)
class Format:
    """A codec. ``read`` gives the objects of a record, people and others; ``pictures`` says what
    to switch on in the product so that a position comes with a look."""

    name: str
    recognises: Callable[[Probe], bool]
    read: Callable[[bytes, Origin], Iterable[Found]]
    pictures: str


def probe(value: bytes) -> Probe | None:
    """The keys of a JSON object with their values unread; None for other JSON.

    Raises:
        BadRecord: it is no JSON.
    """
    if value.lstrip()[:1] != b"{":
        return None
    try:
        found = msgspec.json.decode(value, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRecord(Reason.NOT_JSON, str(error)) from error
    return found


def parsed(decoder: msgspec.json.Decoder[_T], value: bytes) -> _T:
    """The value by its codec's schema.

    Raises:
        BadRecord: it is no JSON, or a field is missing or of another type.
    """
    try:
        return decoder.decode(value)
    except msgspec.ValidationError as error:
        is_time = "time" in str(error).lower()
        raise BadRecord(Reason.BAD_TIMESTAMP if is_time else Reason.SCHEMA, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRecord(Reason.NOT_JSON, str(error)) from error


def number(value: Any, field: str) -> float:
    """A number, also where it was written as text.

    Raises:
        BadRecord: it is none.
    """
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadRecord(Reason.SCHEMA, f"{field} is {str(value)[:64]!r}, not a number") from error


def begins(value: msgspec.Raw | bytes | None, *starts: bytes) -> bool:
    """Whether a JSON value begins so, blanks left out."""
    if value is None:
        return False
    head = b"".join(bytes(memoryview(value)[:64]).split())
    return head.startswith(starts)


def list_of(value: Any) -> list[Any]:
    """The values of a list, or a value alone: JSON that was XML has both."""
    if isinstance(value, list):
        return value
    return [] if value is None else [value]
