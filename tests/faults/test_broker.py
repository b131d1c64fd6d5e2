"""A broker that is slow, silent, paused, cut off or killed: the daemon goes on, and its output is
that of a run without a fault, byte for byte."""

from __future__ import annotations

import json
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kafka import KafkaAdminClient

from stgal_stream.daemon import Daemon
from stgal_stream.log.kafka import KafkaLog
from stgal_stream.log.port import NewRecord
from stgal_stream.settings import Config
from stgal_stream.wire.embedding import EmbeddingRecord, decode
from tests.support.interrupted import Run, assert_same, undisturbed
from tests.support.own_kafka import OwnKafka
from tests.support.rollout import everything
from tests.support.streams import embedded_upstream, publish, rendered
from tests.support.waiting import HANG_S, wait_for
from tests.support.walk import simulated_walk

pytestmark = [pytest.mark.slow, pytest.mark.fault, pytest.mark.kafka]


@pytest.fixture
def kafka(broker: str, tmp_path: Path) -> Iterator[OwnKafka]:
    made = OwnKafka(tmp_path)
    yield made
    made.close()


def slow(kafka: OwnKafka) -> None:
    """Every block of bytes comes 30 ms late, for five seconds."""
    kafka.proxy.delay_s = 0.03
    time.sleep(5)
    kafka.proxy.delay_s = 0.0


def silent(kafka: OwnKafka) -> None:
    """Connections stay open, nothing comes for six seconds."""
    kafka.proxy.is_silent = True
    time.sleep(6)
    kafka.proxy.is_silent = False


def cut(kafka: OwnKafka) -> None:
    """All connections end, three times."""
    for _ in range(3):
        kafka.proxy.cut()
        time.sleep(0.5)


def paused(kafka: OwnKafka) -> None:
    """The broker's process stands still for six seconds."""
    kafka.signal(signal.SIGSTOP)
    time.sleep(6)
    kafka.signal(signal.SIGCONT)


def killed(kafka: OwnKafka) -> None:
    """The broker is killed and started again."""
    kafka.kill()
    time.sleep(1)
    kafka.start()


def test_whatever_happens_to_the_broker_the_output_is_the_same(
    kafka: OwnKafka, tmp_path: Path, config: Config
) -> None:
    _, whole = undisturbed(Run("whole", tmp_path, config, kafka.address, kafka.proxied))
    run = Run("ailing", tmp_path, config, kafka.address, kafka.proxied)
    faults: list[Callable[[OwnKafka], None]] = [slow, silent, cut, paused, killed]
    run.leave()
    run.daemon.start()
    for number, fault in enumerate(faults):
        reached(run, len(whole["identities"]) * (0.1 + 0.15 * number))
        assert run.daemon.is_running, fault.__doc__
        fault(kafka)
    run.daemon.finish()
    run.come_back()
    assert_same(run.said(), whole)


def test_a_topic_that_is_deleted_and_made_again_is_said(
    kafka: OwnKafka, tmp_path: Path, config: Config
) -> None:
    """What it held unread is lost, the daemon goes on with what comes."""
    run = Run("gone", tmp_path, config, kafka.address, forever=True)
    run.daemon.start()
    reached(run, 20)
    topic = run.config.topics.detections
    admin = KafkaAdminClient(bootstrap_servers=[kafka.address])
    admin.delete_topics([topic])
    wait_for(lambda: run.log.partitions(topic) == 0, "the topic's end")
    admin.close()
    later = [json.loads(value) for value in rendered(start_s=1.7e9 + 3600.0)]
    values = [json.dumps({**body, "id": f"later-{body['id']}"}).encode() for body in later]
    publish(run.log, run.config, values)
    ends = run.config.topics.identities

    def said_of_later() -> bool:
        return any(b'"later-' in value for value in everything(run.log, ends))

    wait_for(lambda: said_of_later() or not run.daemon.is_running, "people who came later")
    assert run.daemon.is_running
    run.daemon.kill()
    assert "it was deleted and made again, what it held unread is lost" in run.daemon.errors
    assert "Traceback" not in run.daemon.errors
    run.said()


def reached(run: Run, point: float) -> None:
    """Waits until the daemon has said so much."""
    deadline = time.monotonic() + HANG_S
    while run.n_events < point and run.daemon.is_running:
        assert time.monotonic() < deadline, "the daemon stands still"
        time.sleep(0.02)


def n_embedded(daemon: Daemon) -> int:
    assert daemon.embed is not None
    return daemon.embed.progress


def test_partitions_that_are_added_are_read_whole(broker: str, config: Config) -> None:
    """Also what lies in them before the daemon's client looks again."""
    config.kafka.security = {"metadata_max_age_ms": 500}  # else it looks every five minutes
    log = KafkaLog([broker], security=config.kafka.security, instance=uuid.uuid4().hex)
    sent = [embedded_upstream(detection) for detection in simulated_walk(1, n_people=4)]
    publish(log, config, sent[:30])
    daemon = Daemon(log, config, "embed")
    runner = threading.Thread(target=daemon.run, kwargs={"serve": False})
    runner.start()
    wait_for(lambda: n_embedded(daemon) >= 30 or not runner.is_alive(), "the first")
    topic = config.topics.detections
    admin = KafkaAdminClient(bootstrap_servers=[broker])
    admin.create_partitions({topic: 3})
    admin.close()
    wait_for(lambda: log.partitions(topic) == 3, "more partitions")
    producer = KafkaLog([broker])
    producer.append([NewRecord(topic, None, value, partition=2) for value in sent[30:]])
    producer.close()
    wait_for(lambda: n_embedded(daemon) >= 60 or not runner.is_alive(), "what lies in a new one")
    daemon.stop.set()
    runner.join()
    assert daemon.failure is None
    assert daemon.embed is not None
    assert {at.number for at in daemon.embed.partitions} == {0, 1, 2}
    found = [decode(value) for value in everything(log, config.topics.embeddings)]
    ids = sorted(record.id for record in found if isinstance(record, EmbeddingRecord))
    assert ids == sorted(json.loads(value)["id"] for value in sent)
    log.close()
