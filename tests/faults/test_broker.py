"""A broker that is slow, silent, paused, cut off or killed: the daemon goes on, and its output is
that of a run without a fault, byte for byte."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kafka import KafkaAdminClient

from stgal_stream.settings import Config
from tests.support.interrupted import Run, assert_same, undisturbed
from tests.support.own_kafka import OwnKafka
from tests.support.rollout import everything
from tests.support.streams import publish, rendered
from tests.support.waiting import HANG_S, wait_for

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
