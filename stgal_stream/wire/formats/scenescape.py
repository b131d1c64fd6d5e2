"""Intel SceneScape: what its cameras publish on ``scenescape/data/camera/ID``, a frame a message.

Source: open-edge-platform/scenescape, docs/user-guide/microservices/controller/data_formats.md and
the controller's metadata.schema.json, of 1.3 to 2026. ``objects`` is by category. An object's
``id`` is a number within the frame: newer versions pass a tracker's on, and a message does not say
which, so it is not taken for a track. Vectors are in ``metadata.reid``, in 1.3 in ``reid``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from stgal_stream.types import Reason
from stgal_stream.wire.fields import BadRecord
from stgal_stream.wire.formats.codec import Content, Format, Found, Origin, converted
from stgal_stream.wire.raw_detection import RawDetection

_PICTURES = (
    "SceneScape's message holds positions only: add a person-reidentification model to the "
    "camera's pipeline, so that `metadata.reid` is sent"
)


class _Box(msgspec.Struct):
    x: float
    y: float
    width: float
    height: float


class _Reid(msgspec.Struct):
    embedding_vector: str | list[Any] | None = None
    embedding_dimensions: int | None = None
    dimensions: int | None = None
    model_name: str | None = None


class _Metadata(msgspec.Struct):
    reid: _Reid | str | list[Any] | None = None


class _Object(msgspec.Struct):
    category: str | None = None
    confidence: float | None = None
    bounding_box_px: _Box | None = None
    bounding_box: _Box | None = None
    center_of_mass: _Box | None = None
    metadata: _Metadata | None = None
    reid: str | list[Any] | None = None


class _Frame(msgspec.Struct):
    id: str | int
    timestamp: str | int | float
    objects: dict[str, list[_Object]]


def _recognises(content: Content) -> bool:
    return {"id", "timestamp"} <= content.keys() and isinstance(content.get("objects"), dict)


def _read(content: Content, origin: Origin) -> Iterator[Found]:
    frame = converted(content, _Frame)
    for category, things in frame.objects.items():
        for thing in things:
            try:
                yield _detection(frame, category, thing)
            except BadRecord as fault:
                yield fault


def _detection(frame: _Frame, category: str, thing: _Object) -> RawDetection:
    vector, model = _vector(thing)
    box = thing.bounding_box_px or thing.bounding_box
    corners = None if box is None else (box.x, box.y, box.x + box.width, box.y + box.height)
    return RawDetection(
        camera=frame.id,
        timestamp=frame.timestamp,
        type=thing.category or category,
        raw_box=corners,
        confidence=thing.confidence,
        vector=vector,
        model=model,
    )


def _vector(thing: _Object) -> tuple[str | list[Any] | None, str | None]:
    reid = thing.reid if thing.metadata is None else thing.metadata.reid or thing.reid
    if not isinstance(reid, _Reid):
        return reid, None
    if isinstance(reid.embedding_vector, list):
        told = reid.embedding_dimensions or reid.dimensions
        flat = reid.embedding_vector
        held = len(flat[0]) if len(flat) == 1 and isinstance(flat[0], list) else len(flat)
        if told not in (None, held):
            detail = f"metadata.reid holds {held} numbers and says {told}"
            raise BadRecord(Reason.BAD_VECTOR, detail)
    return reid.embedding_vector, reid.model_name or None


FORMAT = Format("scenescape", _recognises, _read, _PICTURES)
