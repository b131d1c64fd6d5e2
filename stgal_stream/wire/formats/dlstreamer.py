"""Intel DL Streamer: ``gvametaconvert`` as JSON, bare or as DL Streamer Pipeline Server wraps it.

Source: open-edge-platform/dlstreamer, elements/gvametaconvert (its code, 2025.2 to 2026.2), and
DL Streamer Pipeline Server's publishers. ``timestamp`` counts nanoseconds from the beginning of the
stream: clock time is in ``time`` (Pipeline Server), ``rtp.sender_ntp_unix_timestamp_ns`` or
``system_timestamp`` where those are switched on. The camera is ``source``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from stgal_stream.types import Reason
from stgal_stream.wire.fields import BadRecord
from stgal_stream.wire.formats.codec import Content, Format, Found, Origin, converted, seconds
from stgal_stream.wire.raw_detection import RawDetection

_PICTURES = (
    "gvametaconvert's message holds positions only: run gvainference with a "
    "person-reidentification model on each person and set add-tensor-data=true"
)
_REID_NAMES = ("reid", "embedding")
_NS = 1e9


class _Bounds(msgspec.Struct):
    x_min: float
    y_min: float
    x_max: float
    y_max: float


class _Found(msgspec.Struct):
    bounding_box: _Bounds | None = None
    confidence: float | None = None
    label: str | None = None
    label_id: int | None = None


class _Tensor(msgspec.Struct):
    data: list[Any] = []
    name: str = ""
    tensor_name: str = ""
    layer_name: str = ""
    model_name: str = ""
    semantic_tag: str = ""
    label: Any = None
    label_id: Any = None

    @property
    def is_embedding_by_name(self) -> bool:
        names = f"{self.name} {self.tensor_name} {self.layer_name} {self.model_name}".lower()
        return any(name in names for name in _REID_NAMES)


class _Object(msgspec.Struct):
    detection: _Found | None = None
    id: int | str | None = None
    roi_type: str | None = None
    x: float = 0.0
    y: float = 0.0
    w: float = 0.0
    h: float = 0.0
    tensors: list[_Tensor] = []


class _Rtp(msgspec.Struct):
    sender_ntp_unix_timestamp_ns: int | None = None


class _Frame(msgspec.Struct):
    objects: list[_Object] = []
    source: str | None = None
    timestamp: int | None = None
    time: int | None = None
    system_timestamp: str | None = None
    rtp: _Rtp | None = None


def _recognises(content: Content) -> bool:
    if {"metadata", "blob"} <= content.keys():
        return True
    return "resolution" in content and not content.keys().isdisjoint(
        ("objects", "timestamp", "tags")
    )


def _read(content: Content, origin: Origin) -> Iterator[Found]:
    frame = converted(content.get("metadata", content), _Frame)
    for thing in frame.objects:
        if thing.detection is not None:  # else it is the whole frame, as a pseudo-object
            try:
                yield _detection(frame, thing, thing.detection, origin)
            except BadRecord as fault:
                yield fault


def _detection(frame: _Frame, thing: _Object, found: _Found, origin: Origin) -> RawDetection:
    tensor = _embedding(thing.tensors)
    timestamp = _clock_time(frame)
    elapsed_s = None if frame.timestamp is None else seconds(frame.timestamp, _NS)
    label_id = None if found.label_id is None else str(found.label_id)
    return RawDetection(
        camera=frame.source or origin.topic,
        timestamp=timestamp,
        elapsed_s=elapsed_s,
        type=found.label or thing.roi_type or label_id,
        track=thing.id,
        raw_box=_box(thing, found.bounding_box),
        confidence=found.confidence,
        vector=None if tensor is None else tensor.data,
        model=None if tensor is None else tensor.model_name or tensor.semantic_tag or None,
    )


def _clock_time(frame: _Frame) -> str | float | None:
    if frame.rtp is not None and frame.rtp.sender_ntp_unix_timestamp_ns:
        return frame.rtp.sender_ntp_unix_timestamp_ns
    if frame.system_timestamp:
        # The element timecodestamper writes 12:00:00.250:+0000.
        return frame.system_timestamp.replace(":+", "+").replace(":-", "-")
    return frame.time


def _embedding(tensors: list[_Tensor]) -> _Tensor | None:
    """The tensor that is the person's vector: named so, or the only one that is no result."""
    bare = [
        each
        for each in tensors
        if each.data and each.name != "detection" and each.label is None and each.label_id is None
    ]
    named = [each for each in bare if each.is_embedding_by_name]
    if len(named or bare) > 1:
        names = ", ".join((each.model_name or each.name)[:64] for each in named or bare)
        detail = f"tensors: {names} may each be the person's vector; name one `reid`"
        raise BadRecord(Reason.BAD_VECTOR, detail)
    return next(iter(named or bare), None)


def _box(thing: _Object, bounds: _Bounds | None) -> tuple[float, float, float, float] | None:
    if thing.w > 0 and thing.h > 0:
        return thing.x, thing.y, thing.x + thing.w, thing.y + thing.h
    if bounds is None:
        return None
    return bounds.x_min, bounds.y_min, bounds.x_max, bounds.y_max


FORMAT = Format("dlstreamer", _recognises, _read, _PICTURES)
