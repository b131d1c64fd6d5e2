"""Which format a record is of, by its keys: no two codecs answer to the same record, but for the
order in which they are asked."""

from __future__ import annotations

from itertools import islice

import msgspec

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
from stgal_stream.wire.formats.codec import Format, Probe

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
_MAX_KEYS_TRIED = 100


def recognised(keys: Probe) -> Format | None:
    """The format of a JSON object with these keys; None for one that nothing answers to."""
    return next((each for each in FORMATS.values() if each.recognises(keys)), None)


def unknown(keys: Probe) -> BadRecord:
    """Why a JSON object that nothing answers to is refused."""
    for value in islice(keys.values(), _MAX_KEYS_TRIED):
        try:
            msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return BadRecord(Reason.NOT_JSON, str(error))
    for names, what in _UNPLACED:
        if names <= keys.keys():
            return BadRecord(
                Reason.SCHEMA,
                f"this is {what}: it names no camera and no time. Publish with each detection its "
                "camera (`sensorId`), `timestamp` and a crop or vector (docs: Quick start)",
            )
    told = ", ".join(key[:32] for key in sorted(keys)[:_MAX_KEYS_TOLD])
    more = ", ..." if len(keys) > _MAX_KEYS_TOLD else ""
    return BadRecord(
        Reason.SCHEMA,
        f"of no known format: its keys are {told or 'none'}{more}. Our own needs `sensorId`, "
        "`timestamp` and `crop` or `embedding`",
    )
