"""A daemon that keeps no pictures: none is left in any file, and all else is as with them."""

from __future__ import annotations

import base64
import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stgal_stream.commands.pair_source import source_of
from stgal_stream.daemon import Daemon
from stgal_stream.errors import ConfigError, PermanentLogError
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.kafka import KafkaLog
from stgal_stream.log.port import NewRecord, Partition, TopicSpec
from stgal_stream.settings import Config
from stgal_stream.streaming.idle_time import tick_record
from tests.support.read_model import follow
from tests.support.streams import embedded_upstream, publish, rendered, results, run_to_end
from tests.support.traces import found_in
from tests.support.waiting import wait_for
from tests.support.walk import simulated_walk


def detections() -> list[bytes]:
    """People with pictures, and records with pictures that are refused for all kinds of reasons."""
    people = rendered(5, n_people=3, duration_s=50.0)
    first = json.loads(people[0])
    crop = first["crop"]["data"]
    broken = base64.b64encode(base64.b64decode(crop)[:-200]).decode()
    refused = [
        people[1],  # a duplicate
        people[2][:-2],  # no JSON
        json.dumps(first | {"id": "no-time", "timestamp": None}).encode(),
        json.dumps(first | {"id": "a-car", "object": {"type": "car"}}).encode(),
        json.dumps(first | {"id": "torn", "crop": {"data": broken}}).encode(),
        json.dumps(first | {"id": "no-base64", "crop": {"data": crop + "?"}}).encode(),
        json.dumps(first | {"id": "no-uri", "crop": {"data": f"data:{crop}"}}).encode(),
        json.dumps(first | {"id": "mixed up", "schema": crop[-300:]}).encode(),
        json.dumps({"picture": crop}).encode(),
    ]
    return people[:10] + refused + people[10:]


def pictures() -> list[bytes]:
    texts = [json.loads(value)["crop"]["data"] for value in rendered(5, 3, 50.0)]
    return [text.encode() for text in texts] + [base64.b64decode(text) for text in texts]


def test_no_picture_is_in_any_file_and_all_else_is_the_same(tmp_path: Path, config: Config) -> None:
    config.input.max_future_s = float("inf")
    config.daemon.state_dir = str(tmp_path / "kept-state")
    kept = EmbeddedLog(tmp_path / "kept")
    publish(kept, config, detections())
    run_to_end(kept, config)

    config.embed.keep_crops = False
    folder = tmp_path / "site"
    config.daemon.state_dir = str(folder / "state")
    log = EmbeddedLog(folder / "log")
    publish(log, config, detections())
    assert found_in(folder, pictures())
    run_to_end(log, config)
    follow(log, config, folder / "page")
    assert not found_in(folder, pictures())  # while it runs
    said = results(log, config)
    log.close()
    assert not found_in(folder, pictures())
    assert said["dead_letters"] == results(kept, config)["dead_letters"]
    assert len(said["dead_letters"]) > 8
    assert said == results(kept, config)
    assert len(said["identities"]) >= 3

    run_to_end(kept, config)  # nothing is new, but what was kept goes
    assert not found_in(tmp_path, pictures())
    kept.close()


def run_until(log: EmbeddedLog, config: Config, stage: str, come: Callable[[], bool]) -> None:
    daemon = Daemon(log, config, stage)
    runner = threading.Thread(target=daemon.run, kwargs={"serve": False})
    runner.start()
    wait_for(lambda: come() or not runner.is_alive(), "what was waited for")
    daemon.stop.set()
    runner.join()
    assert daemon.failure is None


def test_time_goes_on_at_a_site_that_is_silent_since_a_restart(
    tmp_path: Path, config: Config
) -> None:
    """What was heard last is no longer among the detections."""
    config.embed.keep_crops = False
    config.associate = replace(config.associate, allowed_lateness_s=0.5, tracklet_gap_s=0.5)
    log, topics = EmbeddedLog(tmp_path / "log"), config.topics
    publish(log, config, [embedded_upstream(simulated_walk(1, 1)[0])])
    config.embed.tick_after_s = 1e6
    run_until(log, config, "embed", lambda: log.end(topics.embeddings, 0) > 0)
    assert log.bounds(topics.detections) == (1, 1)
    ticks = [tick_record(topics.embeddings, "another", 1e9 + i) for i in range(1200)]
    log.append(ticks)
    config.embed.tick_after_s = 0.2
    run_until(log, config, "all", lambda: log.end(topics.identities, 0) > 0)
    assert log.end(topics.identities, 0) > 0
    log.close()


def test_nothing_can_be_trained(tmp_path: Path, config: Config) -> None:
    config.embed.keep_crops = False
    with (
        pytest.raises(ConfigError, match="no pictures that could be trained on"),
        source_of(config, "", tmp_path, None, None),
    ):
        pass


@pytest.mark.kafka
def test_kafka_keeps_what_it_keeps(broker: str) -> None:
    log = KafkaLog([broker])
    with pytest.raises(PermanentLogError, match="go by its retention alone") as caught:
        log.subscribe("group", ["detections"], keep=False)
    assert "segment.ms" in (caught.value.hint or "")
    log.close()


def test_what_a_killed_daemon_left_goes_at_the_next_start(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "log")
    log.ensure_topics([TopicSpec("t", 1, 1e9)])
    log.append([NewRecord("t", None, b"a picture" * 500) for _ in range(20)])
    reader = log.subscribe("g", ["t"], keep=False)
    reader.poll(15, 0.0)
    reader.commit([], {Partition("t", 0): 15})
    assert log.bounds("t") == (15, 20)
    shutil.copytree(tmp_path / "log", tmp_path / "killed" / "log")
    reader.close()
    log.close()
    log = EmbeddedLog(tmp_path / "killed" / "log")
    assert log.read("t", 0, 0, 100)[0].offset == 15
    reader = log.subscribe("g", ["t"], keep=False)
    assert len(reader.poll(100, 0.0)) == 5
    reader.commit([], {Partition("t", 0): 20})
    reader.close()
    assert not found_in(tmp_path / "killed", [b"a picturea picture"])
    log.close()
