"""Frigate NVR: what it publishes on ``frigate/events``.

Source: docs.frigate.video, integrations/mqtt, and Frigate's tracked_object.py of 0.12 to 0.17. An
event holds no picture, and pictures on MQTT name no event; the HTTP interface has them by event
(``stgal-stream bridge mqtt --frigate``). An event of which somebody added ``thumbnail`` (base64),
as the documents show it, is complete.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec

from stgal_stream.wire.formats.codec import Content, Format, Origin, converted, json_of
from stgal_stream.wire.raw_detection import RawDetection

_PICTURES = (
    "Frigate's events hold positions only: `stgal-stream bridge mqtt --frigate URL` fetches each "
    "event's picture from Frigate"
)
_Corners = Annotated[list[float], msgspec.Meta(min_length=4, max_length=4)]


class Snapshot(msgspec.Struct):
    """The frame that the event's best picture is of."""

    frame_time: float
    box: _Corners | None = None
    score: float | None = None


class State(msgspec.Struct):
    """An event's state; boxes are left, top, right, bottom in pixels of the detect resolution."""

    id: str
    camera: str
    label: str
    frame_time: float
    box: _Corners | None = None
    score: float | None = None
    false_positive: bool = False
    snapshot: Snapshot | None = None
    thumbnail: str | None = None


class Event(msgspec.Struct):
    """A message on ``frigate/events``."""

    type: str
    after: State


def event_of(value: bytes) -> Event:
    """The event in a message.

    Raises:
        BadRecord: it is none.
    """
    return converted(json_of(value), Event)


def _recognises(content: Content) -> bool:
    return {"type", "after"} <= content.keys()


def _read(content: Content, origin: Origin) -> Iterator[RawDetection]:
    state = converted(content, Event).after
    if not state.false_positive:
        yield detection_of(state, None if not state.thumbnail else (state.thumbnail, None))


def detection_of(state: State, picture: tuple[str, str | None] | None) -> RawDetection:
    """An event's object, at the time that its best picture is of."""
    shown = state if state.snapshot is None else state.snapshot
    box = shown.box
    return RawDetection(
        camera=state.camera,
        timestamp=shown.frame_time,
        id=f"{state.id}@{shown.frame_time:.6f}",
        type=state.label,
        track=state.id,
        raw_box=None if box is None else (box[0], box[1], box[2], box[3]),
        confidence=shown.score,
        picture=picture,
    )


FORMAT = Format("frigate", _recognises, _read, _PICTURES)
