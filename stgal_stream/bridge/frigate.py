"""Frigate's events with their pictures, which only its HTTP interface has by event.

Source: docs.frigate.video, integrations/api: ``/api/events/ID/snapshot.jpg`` is clean and cropped
while the event is in progress, ``thumbnail.jpg`` is a small crop at any time.
"""

from __future__ import annotations

import logging
import urllib.request
from collections import OrderedDict
from urllib.parse import quote

from stgal_stream.bridge.mqtt_source import Record
from stgal_stream.errors import ConfigError
from stgal_stream.log.port import NewRecord
from stgal_stream.settings import InputSettings
from stgal_stream.wire.fields import BadRecord, format_time, is_picture
from stgal_stream.wire.formats.frigate import detection_of, event_of
from stgal_stream.wire.raw_detection import RawDetection

logger = logging.getLogger(__name__)

_TIMEOUT_S = 5.0
_MAX_BYTES = 4 * 1024 * 1024
_REMEMBERED = 10_000
# The height is called h up to Frigate 0.14 and height after it.
_PICTURES = (
    "snapshot.jpg?crop=1&bbox=0&timestamp=0&quality=90&h=256&height=256",
    "thumbnail.jpg",
)


class FrigateEvents:
    """Makes records of events: with the picture, where there is a new one of a person."""

    def __init__(self, url: str, topic: str, inputs: InputSettings, otherwise: Record) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"{url} is no address of Frigate", hint="such as http://frigate:5000")
        self._url = url.rstrip("/")
        self._topic = topic
        self._inputs = inputs
        self._otherwise = otherwise
        self._shown: OrderedDict[str, float] = OrderedDict()

    def __call__(self, source: str, payload: bytes) -> NewRecord | None:
        """A detection with its picture, None where there is no new one of a person. What is no
        event, and an event whose picture cannot be had, goes on as it is: the daemon says what is
        missing."""
        try:
            state = event_of(payload).after
        except BadRecord:
            return self._otherwise(source, payload)
        seen = detection_of(state, None)
        is_old = self._shown.get(state.id) == seen.timestamp
        if is_old or state.false_positive or not seen.is_person(self._inputs):
            return None
        picture = self._picture(state.id)
        if picture is None:
            return self._otherwise(source, payload)
        assert isinstance(seen.timestamp, float)
        self._shown[state.id] = seen.timestamp
        while len(self._shown) > _REMEMBERED:
            self._shown.popitem(last=False)
        return _compact(self._topic, seen, picture)

    def _picture(self, event: str) -> bytes | None:
        reasons = []
        for name in _PICTURES:
            url = f"{self._url}/api/events/{quote(event, safe='')}/{name}"
            try:
                with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # noqa: S310
                    content = bytes(answer.read(_MAX_BYTES))
                if is_picture(content):
                    return content
                reasons.append("no picture in the answer")
            except (OSError, ValueError) as error:  # an HTTP error is an OSError too
                reasons.append(str(error))
        logger.warning("Frigate gives no picture of an event: %s", "; ".join(reasons))
        return None


def _compact(topic: str, seen: RawDetection, picture: bytes) -> NewRecord:
    """A record of our compact form."""
    assert isinstance(seen.timestamp, float)
    headers = {
        "sensorId": str(seen.camera),
        "id": str(seen.id),
        "timestamp": format_time(seen.timestamp),
        "object.id": str(seen.track),
        "object.type": str(seen.type),
    }
    if seen.confidence is not None:
        headers["object.confidence"] = repr(seen.confidence)
    if seen.raw_box is not None:
        headers["object.bbox"] = ",".join(str(side) for side in seen.raw_box)
    packed = tuple((name, text.encode()) for name, text in headers.items())
    return NewRecord(topic, str(seen.camera).encode(), picture, packed)
