"""A broker that is slow, silent, paused, cut off or killed: the daemon goes on, and its output is
that of a run without a fault, byte for byte."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stgal_stream.settings import Config
from tests.support.interrupted import Run, assert_same, undisturbed
from tests.support.own_kafka import OwnKafka
from tests.support.waiting import HANG_S

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
    run.daemon.start()
    for number, fault in enumerate(faults):
        reached(run, len(whole["identities"]) * (0.1 + 0.15 * number))
        assert run.daemon.is_running, fault.__doc__
        fault(kafka)
    run.daemon.finish()
    assert_same(run.said(), whole)


def reached(run: Run, point: float) -> None:
    """Waits until the daemon has said so much."""
    deadline = time.monotonic() + HANG_S
    while run.n_events < point and run.daemon.is_running:
        assert time.monotonic() < deadline, "the daemon stands still"
        time.sleep(0.02)
