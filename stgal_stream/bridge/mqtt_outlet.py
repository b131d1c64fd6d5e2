"""Identity events -> MQTT, with Home Assistant's discovery.

Every event goes to ``PREFIX/SITE/events``. Where a person was seen goes to
``PREFIX/SITE/cameras/CAMERA`` too, retained: who was seen there last. Home Assistant learns of each
camera from ``homeassistant/sensor/.../config`` (home-assistant.io, MQTT discovery).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from stgal_stream.bridge.mqtt import QOS, Connection
from stgal_stream.errors import LogError

_TIMEOUT_S = 30.0
_UNFIT = re.compile(r"[^A-Za-z0-9_-]")
_LEVEL = re.compile(r"[/+#\x00]")
_SEEN = ("created", "joined")


class MqttOutlet:
    """Publishes to a broker; ``discovery`` is Home Assistant's prefix, None for none."""

    def __init__(self, connection: Connection, prefix: str, discovery: str | None) -> None:
        self._connection = connection
        self._prefix = prefix.strip("/")
        self._discovery = discovery
        self._told: set[tuple[str, str]] = set()

    def send(self, events: Sequence[bytes]) -> None:
        """Publishes events and waits until the broker has them.

        Raises:
            LogError: it has not, within half a minute.
            ConfigError: it refuses us.
        """
        self._connection.check()
        waiting = [self._publish(*message) for event in events for message in self._of(event)]
        for info in waiting:
            try:
                info.wait_for_publish(_TIMEOUT_S)
            except (RuntimeError, ValueError) as error:
                raise LogError(f"the MQTT broker cannot be reached: {error}") from error
            if not info.is_published():
                raise LogError(f"the MQTT broker took no message for {_TIMEOUT_S:.0f} s")

    def _publish(self, topic: str, payload: bytes, retain: bool) -> Any:
        return self._connection.client.publish(topic, payload, QOS, retain)

    def _of(self, event: bytes) -> list[tuple[str, bytes, bool]]:
        """The messages of an event: topic, payload, whether it is retained."""
        body = json.loads(event)
        site = str(body["site"])
        base = f"{self._prefix}/{_level(site)}"
        messages = [(f"{base}/events", event, False)]
        tracklet = body.get("tracklet")
        if body["type"] in _SEEN and tracklet is not None:
            camera = str(tracklet["sensorId"])
            state = f"{base}/cameras/{_level(camera)}"
            messages += self._introduce(site, camera, state)
            seen = {
                "globalId": body["globalId"],
                "start": tracklet["start"],
                "end": tracklet["end"],
                "isNew": body["type"] == "created",
            }
            messages.append((state, json.dumps(seen).encode(), True))
        return messages

    def _introduce(self, site: str, camera: str, state: str) -> list[tuple[str, bytes, bool]]:
        """What Home Assistant needs to show a camera, once."""
        if self._discovery is None or (site, camera) in self._told:
            return []
        self._told.add((site, camera))
        name = _UNFIT.sub("_", f"stgal_{site}_{camera}")
        config = {
            "name": f"Last person at {camera}",
            "unique_id": name,
            "state_topic": state,
            "value_template": "{{ value_json.globalId }}",
            "json_attributes_topic": state,
            "icon": "mdi:account-eye",
            "device": {
                "identifiers": [_UNFIT.sub("_", f"stgal_{site}")],
                "name": f"stgal-stream {site}",
                "manufacturer": "stgal-stream",
            },
        }
        topic = f"{self._discovery}/sensor/{name}/config"
        return [(topic, json.dumps(config).encode(), True)]


def _level(name: str) -> str:
    """A name as one level of a topic: without what separates levels or stands for any."""
    return _LEVEL.sub("_", name) or "_"
