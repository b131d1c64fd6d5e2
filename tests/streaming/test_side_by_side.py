"""Two embed workers on a backlog, one of them slow: what comes out is what one alone makes."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from kafka import KafkaAdminClient, KafkaProducer

from stgal_stream.configuration import load_config
from stgal_stream.log.kafka import KafkaLog
from stgal_stream.log.kafka_subscription import KafkaSubscription
from stgal_stream.log.port import NewRecord, Partition
from stgal_stream.settings import Config
from stgal_stream.types import Detection
from tests.support.places import TOPICS
from tests.support.rollout import Running, everything
from tests.support.streams import embedded_upstream, run_to_end
from tests.support.waiting import wait_for
from tests.support.walk import simulated_walk

pytestmark = pytest.mark.kafka


class Slow:
    """A subscription whose commits take their time."""

    def __init__(self, subscription: KafkaSubscription) -> None:
        self._subscription = subscription

    def __getattr__(self, name: str) -> Any:
        return getattr(self._subscription, name)

    def commit(self, records: Sequence[NewRecord], offsets: Mapping[Partition, int]) -> None:
        time.sleep(0.05)
        self._subscription.commit(records, offsets)


class SlowLog(KafkaLog):
    """A log whose commits take their time."""

    def subscribe(
        self, group: str, topics: Sequence[str], *, keep: bool = True
    ) -> KafkaSubscription:
        return cast("KafkaSubscription", Slow(super().subscribe(group, topics, keep=keep)))


def site(folder: Path) -> Config:
    """Topics of its own; the cameras' records lie in two partitions."""
    made, name = load_config(None, {}), uuid.uuid4().hex[:8]
    made.daemon.state_dir = str(folder / name)
    for topic in TOPICS:
        setattr(made.topics, topic, f"{name}-{topic}")
    made.kafka.group_prefix, made.kafka.partitions = name, 2
    made.input.max_future_s = float("inf")
    made.embed.batch_size = 4
    return made


def make_topic(broker: str, config: Config) -> None:
    """Of detections, where whoever writes says when."""
    admin = KafkaAdminClient(bootstrap_servers=[broker])
    configs = {"message.timestamp.type": "CreateTime", "retention.ms": "-1"}
    made = {config.topics.detections: {"num_partitions": 2, "configs": configs}}
    admin.create_topics(made, wait_for_metadata=True)
    admin.close()


def publish_as_it_was(
    broker: str, config: Config, detections: Sequence[Detection], first: int = 0
) -> None:
    """A backlog of which each record was appended when it was seen, one partition ``first``."""
    producer = KafkaProducer(bootstrap_servers=[broker])
    for partition in (first, 1 - first):
        for detection in detections:
            if int(detection.camera == "cam-1") == partition:
                producer.send(
                    config.topics.detections,
                    embedded_upstream(detection),
                    partition=partition,
                    timestamp_ms=int(detection.time_s * 1000),
                )
        producer.flush()
    producer.close()


@pytest.fixture
def logs(broker: str) -> Iterator[list[KafkaLog]]:
    """Of two workers, the first slow, and of one who looks on."""
    name = uuid.uuid4().hex[:8]
    slow = SlowLog([broker], instance=f"{name}-slow")
    made = [slow, *(KafkaLog([broker], instance=f"{name}-{k}") for k in range(2))]
    yield made
    for log in made:
        log.close()


def said(log: KafkaLog, config: Config) -> dict[str, list[str]]:
    """Runs what is embedded to its end; what was said of it. Names of topics are left out, and what
    follows from them."""
    run_to_end(log, config)
    topics = config.topics
    names = (topics.identities, topics.associations, topics.calibrations, topics.dead_letters)
    prefix = topics.detections.split("-", 1)[0]
    found = {}
    for name in names:
        bodies = [json.loads(value) for value in everything(log, name)]
        texts = [json.dumps({k: v for k, v in body.items() if k != "eventId"}) for body in bodies]
        found[name.split("-", 1)[1]] = sorted(text.replace(prefix, "") for text in texts)
    return found


def test_two_workers_make_of_a_backlog_what_one_makes(
    broker: str, logs: list[KafkaLog], tmp_path: Path
) -> None:
    walk = simulated_walk(3, n_people=40, duration_s=240.0)
    detections = [replace(d, time_s=d.time_s + 7e8) for d in walk]
    alone, both = (site(tmp_path) for _ in range(2))
    make_topic(broker, alone)
    publish_as_it_was(broker, alone, detections)
    expected = said(logs[2], alone)
    assert expected["identities"]
    make_topic(broker, both)
    workers = [Running(log, both, "embed", forever=True) for log in logs[:2]]
    stages = [worker.daemon.embed for worker in workers if worker.daemon.embed is not None]
    wait_for(lambda: all(len(stage.partitions) == 1 for stage in stages))
    (of_the_slow,) = stages[0].partitions
    publish_as_it_was(broker, both, detections, first=of_the_slow.number)
    wait_for(lambda: sum(stage.progress for stage in stages) >= len(detections))
    assert all(stage.progress for stage in stages)
    for worker in workers:
        worker.stop()
    found = said(logs[2], both)
    assert not found["dead_letters"]
    assert found == expected
