"""Which format a record is of, by its keys: no two codecs answer to the same record, but for the
order in which they are asked."""

from __future__ import annotations

from stgal_stream.types import Reason
from stgal_stream.wire.fields import BadRecord
from stgal_stream.wire.formats import (
    axis,
    deepstream,
    dlstreamer,
    frigate,
    nvschema,
    onvif,
    savant,
    scenescape,
    stgal,
)
from stgal_stream.wire.formats.codec import Content, Format

_MODULES = (
    stgal,
    nvschema,
    deepstream,
    scenescape,
    savant,
    dlstreamer,
    axis,
    frigate,
    onvif,
)
FORMATS: dict[str, Format] = {module.FORMAT.name: module.FORMAT for module in _MODULES}
# What detectors write that says neither where nor when: by keys that are there together.
_UNPLACED = (
    ({"name", "class", "confidence", "box"}, "a result of Ultralytics"),
    ({"image_id", "category_id", "bbox"}, "a COCO detection result"),
)
_MAX_KEYS_TOLD = 8


def recognised(content: Content) -> Format | None:
    """The format of a JSON object; None for one that nothing answers to."""
    for each in FORMATS.values():
        if each.recognises(content):
            return each
    return None


def unknown(content: Content) -> BadRecord:
    """Why a JSON object that nothing answers to is refused."""
    for names, what in _UNPLACED:
        if names <= content.keys():
            return BadRecord(
                Reason.SCHEMA,
                f"this is {what}: it names no camera and no time. Publish with each detection its "
                "camera (`sensorId`), `timestamp` and a crop or vector (docs: Quick start)",
            )
    told = ", ".join(key[:32] for key in sorted(content)[:_MAX_KEYS_TOLD])
    more = ", ..." if len(content) > _MAX_KEYS_TOLD else ""
    return BadRecord(
        Reason.SCHEMA,
        f"of no known format: its keys are {told or 'none'}{more}. Our own needs `sensorId`, "
        "`timestamp` and `crop` or `embedding`",
    )
