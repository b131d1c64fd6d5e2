"""Savant: ``VideoFrame`` as JSON (savant-rs), and the lines of its ``metadata_json`` sink.

Source: insight-platform/savant-rs, savant_core/src/primitives, and insight-platform/Savant,
adapters/python/sinks/metadata_json.py. Boxes are by their centre. A frame's clock time is
``creation_timestamp_ns``; savant-rs writes 55 there (XOR for a power), so a version 7 ``uuid``
stands in for it, which begins with milliseconds. The sink's lines have neither, only ``pts``.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import msgspec

from stgal_stream.types import Reason
from stgal_stream.wire.fields import BadRecord
from stgal_stream.wire.formats.codec import Content, Format, Found, Origin, converted, seconds
from stgal_stream.wire.raw_detection import RawDetection

_PICTURES = (
    "Savant's frame holds positions only: add a re-ID model to the module and keep its output as "
    "an attribute of each object (TensorToVectorConverter)"
)
_REID_NAMES = ("reid", "embedding", "feature")
_UUID_7 = 7
_FIRST_NS = 10**17  # 1973: what is less is no time
_NS = 1e9


class _Box(msgspec.Struct):
    xc: float
    yc: float
    width: float
    height: float


class _Value(msgspec.Struct):
    value: Any = None


class _Attribute(msgspec.Struct):
    namespace: str = ""
    element_name: str = ""
    name: str = ""
    values: list[_Value] = []
    value: Any = None

    @property
    def vector(self) -> list[Any] | None:
        """The numbers, where it is a vector of them."""
        value = self.values[0].value if self.values else self.value
        if isinstance(value, dict):
            value = value.get("FloatVector")
        return value if isinstance(value, list) and value else None


class _Object(msgspec.Struct):
    label: str = ""
    confidence: float | None = None
    track_id: int | str | None = None
    object_id: int | str | None = None  # the sink's name of a track
    detection_box: _Box | None = None
    bbox: _Box | None = None
    attributes: list[_Attribute] = []


class _Metadata(msgspec.Struct):
    objects: list[_Object] = []


class _Frame(msgspec.Struct):
    source_id: str
    uuid: str | None = None
    creation_timestamp_ns: int | None = None
    pts: int | None = None
    time_base: tuple[int, int] = (1, 1_000_000_000)
    objects: list[_Object] = []
    metadata: _Metadata | None = None


def _recognises(content: Content) -> bool:
    return "source_id" in content and not content.keys().isdisjoint(("pts", "time_base", "schema"))


def _read(content: Content, origin: Origin) -> Iterator[Found]:
    frame = converted(content, _Frame)
    timestamp, elapsed_s = _clock_time(frame), _elapsed_s(frame)
    for thing in frame.objects if frame.metadata is None else frame.metadata.objects:
        try:
            yield _detection(frame, thing, timestamp, elapsed_s)
        except BadRecord as fault:
            yield fault


def _detection(
    frame: _Frame, thing: _Object, timestamp: float | None, elapsed_s: float | None
) -> RawDetection:
    found = _embedding(thing.attributes)
    box = thing.detection_box or thing.bbox
    return RawDetection(
        camera=frame.source_id,
        timestamp=timestamp,
        elapsed_s=elapsed_s,
        type=thing.label or "without a label",
        track=thing.object_id if thing.track_id is None else thing.track_id,
        raw_box=None if box is None else _corners(box),
        confidence=thing.confidence,
        vector=None if found is None else found.vector,
        model=None if found is None else found.namespace or found.element_name or None,
    )


def _clock_time(frame: _Frame) -> float | None:
    """Unix seconds; None where the frame tells only how far the stream is."""
    if frame.creation_timestamp_ns is not None and frame.creation_timestamp_ns >= _FIRST_NS:
        return seconds(frame.creation_timestamp_ns, _NS)
    try:
        made = uuid.UUID(frame.uuid or "")
    except ValueError:
        return None
    return (made.int >> 80) / 1e3 if made.version == _UUID_7 else None


def _elapsed_s(frame: _Frame) -> float | None:
    unit, per_second = frame.time_base
    return None if frame.pts is None or not per_second else seconds(frame.pts * unit, per_second)


def _embedding(attributes: list[_Attribute]) -> _Attribute | None:
    """The attribute that is the person's vector: the only one, or the one that is named so."""
    vectors = [each for each in attributes if each.vector is not None]
    named = [each for each in vectors if any(name in each.name.lower() for name in _REID_NAMES)]
    found = vectors if len(vectors) == 1 else named
    if len(found) > 1 or (vectors and not found):
        names = ", ".join(each.name[:64] for each in vectors)
        detail = f"attributes: {names} may each be the person's vector; name one `reid`"
        raise BadRecord(Reason.BAD_VECTOR, detail)
    return next(iter(found), None)


def _corners(box: _Box) -> tuple[float, float, float, float]:
    half_width, half_height = box.width / 2, box.height / 2
    return (
        box.xc - half_width,
        box.yc - half_height,
        box.xc + half_width,
        box.yc + half_height,
    )


FORMAT = Format("savant", _recognises, _read, _PICTURES)
