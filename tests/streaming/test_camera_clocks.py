"""A camera whose clock is off, or whose records are late, through the whole daemon."""

from __future__ import annotations

import json
import logging
import threading
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from stgal_stream.core.tracker.snapshot import restore
from stgal_stream.daemon import Daemon
from stgal_stream.experiments.worlds import boxes, delivery, looks, movement
from stgal_stream.experiments.worlds.bench import Stream, World, stream_of
from stgal_stream.experiments.worlds.delivery import DeliveryLaw, odd_camera
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.monitoring.metrics import Metrics
from stgal_stream.settings import Config
from stgal_stream.streaming.site_summary import summary
from stgal_stream.streaming.snapshots import read_sites
from tests.support.streams import embedded_upstream, publish, results

LATE, AHEAD = delivery.LAWS[0], delivery.LAWS[3]


def ran(log: EmbeddedLog, config: Config, law: DeliveryLaw) -> tuple[Stream, dict[str, Any]]:
    """A small world through a daemon: what was sent, and what ``inspect`` knows then."""
    world = World(movement.campus, looks.isotropic, boxes.TRACKED, 40, 15.0, 0.5, 5, delivery=law)
    stream = stream_of(world)
    publish(log, config, [embedded_upstream(a.detection) for a in stream.arriving])
    daemon, end = Daemon(log, config), threading.Event()
    end.set()
    daemon.run(end=end, serve=False)
    (state,) = read_sites(Path(config.daemon.state_dir)).values()
    return stream, summary(restore(state, config.associate))


def test_it_is_named_and_nothing_is_lost(
    tmp_path: Path, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    log = EmbeddedLog(tmp_path / "log")
    with caplog.at_level(logging.WARNING):
        stream, facts = ran(log, config, AHEAD)
    odd = odd_camera(stream.detections)
    assert list(facts["clocks_off_s"]) == [odd]
    assert facts["clocks_off_s"][odd] == pytest.approx(45.0, abs=5.0)
    (said,) = [r.getMessage() for r in caplog.records if "clock of camera" in r.getMessage()]
    assert f"camera {odd}" in said
    assert not results(log, config)["dead_letters"]
    log.close()


def test_late_ones_are_marked(tmp_path: Path, config: Config) -> None:
    log = EmbeddedLog(tmp_path / "log")
    stream, _ = ran(log, config, LATE)
    odd = odd_camera(stream.detections)
    found = results(log, config)
    assert not found["dead_letters"]
    schema = files("stgal_stream.wire") / "schemas" / "identity.v1.json"
    validator = Draft202012Validator(json.loads(schema.read_text()))
    late = set()
    for value in found["identities"]:
        event = json.loads(value)
        validator.validate(event)
        if "lateSeconds" in event.get("tracklet", {}):
            late.add(event["tracklet"]["sensorId"])
    assert late == {odd}
    log.close()


def test_the_metric_follows_a_clock_that_is_set_right() -> None:
    metrics = Metrics()
    assert metrics.note_clocks("s", {"a": 45.0}) == {"a"}
    assert metrics.note_clocks("s", {"a": 46.0, "b": -20.0}) == {"b"}
    name = "stgal_camera_clock_offset_seconds"
    assert metrics.registry.get_sample_value(name, {"site": "s", "camera": "a"}) == 46.0
    assert metrics.note_clocks("s", {}) == set()
    assert metrics.registry.get_sample_value(name, {"site": "s", "camera": "a"}) is None
