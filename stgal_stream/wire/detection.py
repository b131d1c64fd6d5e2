"""A record of the detections topic -> the detections in it, or why not.

Which format it is of says the configuration (``input.format``), else the record itself: a codec of
``wire.formats`` finds the objects, ``wire.raw_detection`` checks what they say.
"""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Iterable

import msgspec

from stgal_stream.log.port import Record
from stgal_stream.settings import InputSettings
from stgal_stream.types import Reason
from stgal_stream.wire.fields import BadRecord
from stgal_stream.wire.formats import nvschema, stgal
from stgal_stream.wire.formats.codec import Content, Format, Found, Origin, json_of
from stgal_stream.wire.formats.recognition import FORMATS, recognised, unknown
from stgal_stream.wire.raw_detection import DetectionMessage, RawDetection

TOPIC_HEADER = "mqtt.topic"  # what a bridge says of where a record came from


class Decoded(msgspec.Struct, frozen=True):
    """What a record holds: the people, what is wrong with single objects, and how many objects are
    no people. ``format`` is the codec's name."""

    format: str
    messages: tuple[DetectionMessage, ...]
    faults: tuple[BadRecord, ...] = ()
    n_others: int = 0


def decode(record: Record, inputs: InputSettings) -> Decoded:
    """Reads one record.

    Raises:
        BadRecord: nothing in it can be used, with the reason code and what is wrong.
    """
    if record.fault is not None:
        raise BadRecord(Reason.UNREADABLE, record.fault)
    if len(record.value) > inputs.max_record_bytes:
        detail = f"{len(record.value)} bytes, at most {inputs.max_record_bytes} are allowed"
        raise BadRecord(Reason.RECORD_TOO_LARGE, detail)
    format_, found = _objects(record, inputs)
    return _sorted_out(record, inputs, format_, found)


def crop_in(record: Record) -> bytes | None:
    """The encoded picture of a record that was taken before; None where it brought a vector.

    Raises:
        BadRecord: there is none that can be read, or more than one.
    """
    _, found = _objects(record, InputSettings())
    raws = [raw for raw in found if isinstance(raw, RawDetection)]
    pictures = [raw for raw in raws if raw.vector is None and raw.picture is not None]
    if len(pictures) > 1:
        raise BadRecord(Reason.SCHEMA, f"the record holds {len(pictures)} pictures")
    return pictures[0].encoded_picture() if pictures else None


def _objects(record: Record, inputs: InputSettings) -> tuple[str, Iterable[Found]]:
    """The format's name, and what its codec finds."""
    headers = dict(record.headers)
    if "sensorId" in headers:
        return "stgal", [stgal.read_compact(headers, record.value)]
    value = record.value.removeprefix(codecs.BOM_UTF8)
    if value.lstrip()[:1] not in (b"{", b"["):
        from stgal_stream.wire.formats.nvschema_binary import read_binary

        return nvschema.FORMAT.name, read_binary(value)
    topic = headers.get(TOPIC_HEADER)
    origin = Origin(None if topic is None else topic.decode(errors="replace"))
    content = json_of(value)
    objects = content if isinstance(content, list) else [content]
    if {type(each) for each in objects} != {dict}:
        raise BadRecord(Reason.SCHEMA, "the array holds no JSON objects")
    format_ = _format_of(objects[0], inputs)
    return format_.name, (found for each in objects for found in format_.read(each, origin))


def _format_of(content: Content, inputs: InputSettings) -> Format:
    """The format of a record; an array's messages are all of one."""
    seen = recognised(content)
    if inputs.format == "auto":
        # A message that lacks what our format needs is told so by our own codec.
        if seen is None and "sensorId" in content:
            return stgal.FORMAT
        if seen is None:
            raise unknown(content)
        return seen
    if seen is not None and seen.name != inputs.format:
        detail = f"it looks like {seen.name}, but input.format is {inputs.format}"
        raise BadRecord(Reason.SCHEMA, detail)
    return FORMATS[inputs.format]


def _sorted_out(
    record: Record, inputs: InputSettings, format_: str, found: Iterable[Found]
) -> Decoded:
    """People are checked, what else is in a frame is counted. Positions without a look are told of
    once a record."""
    messages: list[DetectionMessage] = []
    faults: list[BadRecord] = []
    n_others = n_positions = 0
    is_ours = format_ == stgal.FORMAT.name
    for index, raw in enumerate(found):
        if index == inputs.max_objects:
            detail = f"more than {inputs.max_objects} objects (input.max_objects)"
            raise BadRecord(Reason.RECORD_TOO_LARGE, detail)
        try:
            if isinstance(raw, BadRecord):
                raise raw
            if not is_ours and not raw.is_person(inputs):
                n_others += 1
            elif raw.has_look:
                place = _place_in_log(record) if is_ours else raw.place(index)
                message = raw.checked(place, record.append_time_s, format_, inputs)
                messages.append(_in_time(message, record, inputs))
            else:
                n_positions += 1
        except BadRecord as fault:
            faults.append(fault)
    if n_positions:
        faults.append(_position_only(format_, n_positions, n_positions + len(messages)))
    return Decoded(format_, tuple(messages), tuple(faults), n_others)


def _in_time(message: DetectionMessage, record: Record, inputs: InputSettings) -> DetectionMessage:
    ahead = message.time_s - record.append_time_s
    if ahead > inputs.max_future_s:
        detail = f"{ahead:.1f} s ahead of the time at which the log took it"
        raise BadRecord(Reason.FUTURE_TIMESTAMP, detail)
    return message


def _position_only(format_: str, n: int, n_people: int) -> BadRecord:
    told = FORMATS[format_].pictures
    what = "it has" if n_people == 1 else f"{n} of {n_people} people have"
    return BadRecord(Reason.POSITION_ONLY, f"{what} neither a crop nor a vector. {told}")


def _place_in_log(record: Record) -> str:
    """A name that follows from a record's content and its place in the log."""
    at = record.partition
    place = f"{at.topic}/{at.number}/{record.offset}".encode()
    return hashlib.blake2b(place + b"\0" + record.value, digest_size=12).hexdigest()
