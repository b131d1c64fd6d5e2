"""The port of all codecs, and what several of them need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from stgal_stream.types import Reason
from stgal_stream.wire.fields import BadRecord
from stgal_stream.wire.raw_detection import RawDetection

Content = Mapping[str, Any]  # a JSON object, read
Found = RawDetection | BadRecord  # an object of a record, or what is wrong with it alone
_T = TypeVar("_T")


class Origin(msgspec.Struct, frozen=True):
    """What is known of a record beside its value: the MQTT topic that it came from, if any."""

    topic: str | None = None


@dataclass(frozen=True, slots=True)
class Format:
    """A codec. ``read`` gives the objects of a record, people and others; ``pictures`` says what
    to switch on in the product so that a position comes with a look."""

    name: str
    recognises: Callable[[Content], bool]
    read: Callable[[Content, Origin], Iterable[Found]]
    pictures: str


def json_of(value: bytes) -> Any:
    """What a JSON text holds. It is read once: what it is of and what it says follow from that.

    Raises:
        BadRecord: it is no JSON.
    """
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRecord(Reason.NOT_JSON, str(error)) from error


def converted(content: Any, schema: type[_T]) -> _T:
    """The content by its codec's schema.

    Raises:
        BadRecord: a field is missing or of another type.
    """
    try:
        return msgspec.convert(content, schema)
    except msgspec.ValidationError as error:
        is_time = "time" in str(error).lower()
        raise BadRecord(Reason.BAD_TIMESTAMP if is_time else Reason.SCHEMA, str(error)) from error


def number(value: Any, field: str) -> float:
    """A number, also where it was written as text.

    Raises:
        BadRecord: it is none.
    """
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadRecord(Reason.SCHEMA, f"{field} is {str(value)[:64]!r}, not a number") from error


def seconds(count: int, per_second: float) -> float:
    """A time that is counted in parts of a second.

    Raises:
        BadRecord: no number of seconds is so large.
    """
    try:
        return count / per_second
    except OverflowError as error:
        raise BadRecord(Reason.BAD_TIMESTAMP, f"the time is out of range: {error}") from error


def list_of(value: Any) -> list[Any]:
    """The values of a list, or a value alone: JSON that was XML has both."""
    if isinstance(value, list):
        return value
    return [] if value is None else [value]
