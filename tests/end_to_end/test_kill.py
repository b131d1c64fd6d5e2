"""Exactly once: killed with SIGKILL at twenty random points, the output is the same, byte for byte.

The daemon is a process of its own; the log is embedded, or a real Kafka broker. One site brings its
own vectors, another crops, and some records cannot be used.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from stgal_stream.configuration import load_config
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.port import Log
from stgal_stream.settings import Config
from tests.support.process import Daemon
from tests.support.streams import embedded_upstream, publish, rendered, results
from tests.support.waiting import HANG_S
from tests.support.walk import simulated_walk

pytestmark = pytest.mark.slow

# Of a daemon on each kind of log; on a broker each start waits for its group.
N_KILLS = {"embedded": 20, "kafka": 12}


def stream() -> list[bytes]:
    """Both sites interleaved, with records that cannot be used among them."""
    upstream = [embedded_upstream(d) for d in simulated_walk(5, n_people=120, tracked=False)]
    crops = rendered()
    every = max(1, len(upstream) // len(crops))
    mixed: list[bytes] = []
    for i, value in enumerate(upstream):
        mixed.append(value)
        if i % every == 0 and i // every < len(crops):
            mixed.append(crops[i // every])
        if i % 97 == 0:
            mixed.append(b"this is not JSON")
        if i % 131 == 0:
            mixed.append(value)
    return mixed


def _tune(config: Config) -> None:
    config.embed.batch_size = 8
    config.daemon.snapshot_every_s = 0.3
    config.associate = replace(config.associate, first_calibration=40, window_s=300.0)
    config.input.max_future_s = 1e12


def _progress(log: Log, config: Config) -> int:
    """How many records lie in the topics that the daemon writes (an upper bound will do)."""
    if isinstance(log, EmbeddedLog):
        topics = config.topics
        return sum(log.bounds(t)[1] for t in (topics.embeddings, topics.identities))
    from kafka import KafkaConsumer, TopicPartition

    if not hasattr(log, "probe"):
        log.probe = KafkaConsumer(bootstrap_servers=os.environ["KAFKA_TEST_BROKER"])  # type: ignore[attr-defined]
    at = [TopicPartition(t, 0) for t in (config.topics.embeddings, config.topics.identities)]
    return sum(log.probe.end_offsets(at).values())  # type: ignore[attr-defined]


def _killed_run(log: Log, config: Config, daemon: Daemon, points: list[float]) -> int:
    """Runs to the end with kills at random points; how many of them hit a daemon at work."""
    rng = np.random.default_rng(2024)
    n_killed = 0
    for point in points:
        daemon.start()
        assert daemon.process is not None
        deadline = time.monotonic() + HANG_S
        while _progress(log, config) < point and time.monotonic() < deadline:
            if daemon.process.poll() is not None:
                break
            time.sleep(0.005)
        time.sleep(float(rng.uniform(0, 0.05)))
        if daemon.process.poll() is None:
            daemon.kill()
            n_killed += 1
    daemon.start()
    daemon.finish()
    return n_killed


@pytest.mark.parametrize("kind", ["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def test_killed_many_times_the_output_is_the_same(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, config: Config
) -> None:
    sent = stream()
    outcome = []
    total = 0
    n_killed = 0
    for run in ("whole", "killed"):
        directory = tmp_path / run
        directory.mkdir()
        mine = load_config(None, {})
        mine.topics = replace(config.topics)
        mine.kafka = replace(config.kafka)
        _tune(mine)
        mine.daemon.state_dir = str(directory / "state")
        mine.daemon.http_port = 0
        if kind == "embedded":
            log: Log = EmbeddedLog(directory / "log")
            where = ["--embedded", str(directory / "log")]
        else:
            from stgal_stream.log.kafka import KafkaLog

            for name in asdict(mine.topics):
                if not name.startswith("retention"):
                    topic = getattr(mine.topics, name)
                    setattr(mine.topics, name, f"{run}{topic[4:]}")
            # The same names for what is compared: positions carry the topic's name.
            mine.kafka.group_prefix = run + mine.kafka.group_prefix
            mine.kafka.instance = run + config.kafka.group_prefix
            broker = request.getfixturevalue("broker")
            log = KafkaLog([broker])
            where = ["--brokers", broker]
        publish(log, mine, sent)
        daemon = Daemon(where, mine, directory)
        if run == "whole":
            daemon.start()
            daemon.finish()
            total = _progress(log, mine)
        else:
            share = np.random.default_rng(2023).uniform(0.0, 0.97, N_KILLS[kind])
            n_killed = _killed_run(log, mine, daemon, (np.sort(share) * total).tolist())
        said = results(log, mine)
        outcome.append({k: [_named(v, run) for v in vs] for k, vs in said.items()})
        if hasattr(log, "probe"):
            log.probe.close()
        log.close()
    whole, killed = outcome
    assert n_killed == N_KILLS[kind]
    assert len(whole["identities"]) > 200
    assert len(whole["associations"]) > 200
    assert len(whole["dead_letters"]) > 10
    # The two stages share this topic; within each, and within a site, the order is the same.
    assert sorted(killed["dead_letters"]) == sorted(whole["dead_letters"])
    assert killed["identities"] == whole["identities"]
    assert killed["associations"] == whole["associations"]


def _named(value: bytes, run: str) -> bytes:
    """Topic names differ between the two runs on one broker; event ids follow from them."""
    content = json.loads(value)
    content.pop("eventId", None)
    return json.dumps(content).replace(f'"{run}', '"').encode()
