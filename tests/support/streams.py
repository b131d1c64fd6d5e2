"""Streams of detections for the end-to-end tests: JSON as cameras publish it."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

from stgal_stream.daemon import Daemon
from stgal_stream.experiments.replay import encode_detection
from stgal_stream.experiments.simulation.site import SimulatedSite, SiteLaw
from stgal_stream.log.port import Log, NewRecord
from stgal_stream.log.topics import topic_specs
from stgal_stream.settings import Config
from stgal_stream.types import Detection
from stgal_stream.wire.fields import format_time


def embedded_upstream(detection: Detection, site: str = "upstream") -> bytes:
    """A detection that brings its own vector."""
    body: dict[str, Any] = {
        "id": detection.id,
        "timestamp": format_time(detection.time_s),
        "sensorId": detection.camera,
        "site": site,
        "embedding": {
            "vector": base64.b64encode(detection.embedding.astype("<f4").tobytes()).decode(),
            "model": detection.extractor,
        },
    }
    if detection.track_id is not None:
        body["object"] = {"id": detection.track_id, "type": "person"}
    return json.dumps(body).encode()


def rendered(
    seed: int = 3, n_people: int = 6, duration_s: float = 120.0, start_s: float = 1.7e9
) -> list[bytes]:
    """Detections with rendered crops."""
    site = SimulatedSite(seed, SiteLaw(n_people=n_people, duration_s=duration_s, n_zones=3))
    return [encode_detection(seen, start_s, "rendered") for seen in site.detections()]


def publish(log: Log, config: Config, values: list[bytes]) -> None:
    """Writes detections in batches."""
    log.ensure_topics(topic_specs(config))
    for i in range(0, len(values), 200):
        part = values[i : i + 200]
        log.append([NewRecord(config.topics.detections, b"cam", value) for value in part])


def values(log: Log, topic: str) -> Iterator[bytes]:
    """All committed values of a topic of one partition."""
    offset = 0
    while records := log.read(topic, 0, offset, 1000):
        yield from (record.value for record in records)
        offset = records[-1].offset + 1


def results(log: Log, config: Config) -> dict[str, list[bytes]]:
    """What the daemon said."""
    topics = config.topics
    names = (
        topics.identities,
        topics.associations,
        topics.calibrations,
        topics.corrections,
        topics.dead_letters,
    )
    return {name.split("-", 1)[1]: list(values(log, name)) for name in names}


def schema(name: str) -> Draft202012Validator:
    """What a message must be."""
    text = (files("stgal_stream") / "wire" / "schemas" / f"{name}.json").read_text()
    return Draft202012Validator(json.loads(text), format_checker=FormatChecker())


def run_to_end(log: Log, config: Config, stage: str = "all") -> Daemon:
    """A daemon over what the log holds, to its end."""
    daemon = Daemon(log, config, stage)
    end = threading.Event()
    end.set()
    daemon.run(end=end, serve=False)
    return daemon
