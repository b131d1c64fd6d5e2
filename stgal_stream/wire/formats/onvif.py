"""ONVIF scene description as JSON: frames of objects, as Profile M devices publish them by MQTT.

Source: ONVIF Analytics Service Specification, "JSON format of metadata" (topic
``PREFIX/onvif-mj/...``): XML attributes become keys with ``@``, prefixes go away. Programs that
turn XML into JSON by themselves keep prefixes (``tt:Frame``) or leave ``@`` out; numbers may be
text.
Coordinates are -1 to 1 with y upwards, or as the frame's Transformation says: q = p * scale +
translation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stgal_stream.types import Reason
from stgal_stream.wire.fields import BadRecord
from stgal_stream.wire.formats.codec import Content, Format, Found, Origin, list_of, number
from stgal_stream.wire.raw_detection import RawDetection

_PICTURES = (
    "ONVIF frames hold positions only: switch on the analytics module's object pictures "
    "(`Appearance.Image`)"
)
_WRAPPERS = ("MetadataStream", "VideoAnalytics", "Frame")
_MAX_DEPTH = 12


def _recognises(content: Content) -> bool:
    names = {_plain(key) for key in content}
    return not names.isdisjoint(_WRAPPERS)


def _read(content: Content, origin: Origin) -> Iterator[Found]:
    root = _without_prefixes(content, 0)
    for frame in _frames(root):
        for thing in list_of(frame.get("Object")):
            try:
                yield _detection(_object(thing, "Object"), frame, origin)
            except BadRecord as fault:
                yield fault


def _plain(key: str) -> str:
    """A name without ``@`` and namespace."""
    return key.removeprefix("@").rpartition(":")[2]


def _without_prefixes(value: Any, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise BadRecord(Reason.SCHEMA, f"more than {_MAX_DEPTH} levels")
    if isinstance(value, dict):
        return {_plain(k): _without_prefixes(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_prefixes(v, depth + 1) for v in value]
    return value


def _frames(root: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[Any] = [root]
    for wrapper in _WRAPPERS:
        if any(wrapper in each for each in found if isinstance(each, dict)):
            found = [inner for each in found for inner in list_of(each.get(wrapper))]
    return [_object(frame, "Frame") for frame in found]


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadRecord(Reason.SCHEMA, f"{name} is no JSON object")
    return value


def _detection(thing: dict[str, Any], frame: dict[str, Any], origin: Origin) -> RawDetection:
    appearance = thing.get("Appearance")
    appearance = appearance if isinstance(appearance, dict) else {}
    kind, likelihood = _class(appearance.get("Class"))
    image = appearance.get("Image")
    return RawDetection(
        camera=_scalar(frame, "Source") or origin.topic,
        timestamp=_scalar(frame, "UtcTime"),
        type=kind,
        track=_scalar(thing, "ObjectId"),
        raw_box=_box(appearance.get("Shape"), frame, appearance),
        confidence=likelihood,
        picture=(image, None) if isinstance(image, str) else None,
    )


def _scalar(found: dict[str, Any], name: str) -> str | int | None:
    value = found.get(name)
    if value is not None and not isinstance(value, str | int):
        raise BadRecord(Reason.SCHEMA, f"{name} is neither text nor a whole number")
    return value


def _class(found: Any) -> tuple[str, float | None]:
    """The likeliest class: `Type` with a likelihood each, earlier `ClassCandidate`."""
    found = found if isinstance(found, dict) else {}
    candidates = []
    for each in list_of(found.get("Type")) + list_of(found.get("ClassCandidate")):
        if isinstance(each, dict):
            name = each.get("#text", each.get("Value", each.get("Type")))
            likelihood = each.get("Likelihood")
            score = None if likelihood is None else number(likelihood, "Likelihood")
        else:
            name, score = each, None
        candidates.append((0.0 if score is None else score, str(name), score))
    if not candidates:
        return "unclassified", None
    _, name, score = max(candidates, key=lambda each: each[0])
    return name, score


def _box(
    shape: Any, frame: dict[str, Any], appearance: dict[str, Any]
) -> tuple[float, float, float, float] | None:
    box = shape.get("BoundingBox") if isinstance(shape, dict) else None
    if not isinstance(box, dict):
        return None
    corners = [number(box.get(side), f"BoundingBox.{side}") for side in ("left", "right")]
    heights = [number(box.get(side), f"BoundingBox.{side}") for side in ("top", "bottom")]
    for transformation in (appearance.get("Transformation"), frame.get("Transformation")):
        corners = _moved(corners, transformation, "x")
        heights = _moved(heights, transformation, "y")
    return min(corners), -max(heights), max(corners), -min(heights)


def _moved(values: list[float], transformation: Any, axis: str) -> list[float]:
    transformation = transformation if isinstance(transformation, dict) else {}
    scale, shift = 1.0, 0.0
    if isinstance(transformation.get("Scale"), dict):
        scale = number(transformation["Scale"].get(axis, 1), "Transformation.Scale")
    if isinstance(transformation.get("Translate"), dict):
        shift = number(transformation["Translate"].get(axis, 0), "Transformation.Translate")
    return [value * scale + shift for value in values]


FORMAT = Format("onvif", _recognises, _read, _PICTURES)
