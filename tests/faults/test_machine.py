"""A machine that fails under a running daemon: its disk, its clock."""

from __future__ import annotations

import os
import re
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from stgal_stream.configuration import load_config
from stgal_stream.daemon import Daemon
from stgal_stream.errors import DamagedLogError, PermanentLogError
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.settings import Config
from tests.support.failing_calls import failing
from tests.support.interrupted import Run, assert_same, undisturbed
from tests.support.places import TOPICS
from tests.support.stepping_clock import SteppingClock
from tests.support.streams import embedded_upstream, publish, rendered
from tests.support.waiting import wait_for
from tests.support.walk import simulated_walk

pytestmark = [pytest.mark.slow, pytest.mark.fault]

_FULL_BYTES = 20_000  # what the daemon says itself is less, any commit reaches beyond it
_HOUR_S = 3600.0


@pytest.fixture(scope="module")
def config() -> Config:
    """Topics of the same names for all runs here, which have a log each."""
    made = load_config(None, {})
    made.kafka.group_prefix = "machine"
    for name in TOPICS:
        setattr(made.topics, name, f"machine-{name}")
    return made


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, config: Config
) -> tuple[int, dict[str, list[bytes]]]:
    """How far a run without a fault comes, and what it says."""
    return undisturbed(Run("whole", tmp_path_factory.mktemp("machine"), config))


@contextmanager
def full(pid: int) -> Iterator[None]:
    """The process may write to no file beyond its first kilobytes."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (_FULL_BYTES, resource.RLIM_INFINITY))
    yield
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


FAULTS: tuple[Callable[[int], AbstractContextManager[None]], ...] = (
    full,
    lambda pid: failing(pid, "fsync,fdatasync", "error=EIO"),
    lambda pid: failing(pid, "pwrite64", "error=EIO"),
    lambda pid: failing(pid, "pread64", "error=EIO"),
    lambda pid: failing(pid, "pwrite64,ftruncate", "error=EROFS"),
)


def test_what_the_disk_refuses_is_said_and_nothing_is_lost(
    tmp_path: Path, config: Config, whole: tuple[int, dict[str, list[bytes]]]
) -> None:
    """A disk that is full, whose writes or reads fail, that was made read-only: each until the
    daemon has said so. Then it is slow."""
    total, said = whole
    run = Run("failing", tmp_path, config)
    run.daemon.start()
    assert run.daemon.process is not None
    pid = run.daemon.process.pid
    for number, fault in enumerate(FAULTS, 1):
        reached(run, total * number / 8)
        n_said = run.daemon.errors.count("it restarts in")
        with fault(pid):
            wait_for_another(run, n_said)
        assert run.daemon.is_running, run.daemon.errors[-3000:]
        assert run.progress < total
    with failing(pid, "fsync,fdatasync", "delay_enter=200ms"):
        reached(run, total * 7 / 8)
    run.daemon.finish()
    assert "Traceback" not in run.daemon.errors
    assert_same(run.said(), said)


def wait_for_another(run: Run, n_said: int) -> None:
    def is_said() -> bool:
        return run.daemon.errors.count("it restarts in") > n_said

    wait_for(lambda: is_said() or not run.daemon.is_running, "a word")


def reached(run: Run, point: float) -> None:
    wait_for(lambda: run.progress > point or not run.daemon.is_running, "so much of it")


def stamps_of(run: Run) -> list[float]:
    """When the log took each identity event, by the daemon's clock."""
    assert isinstance(run.log, EmbeddedLog)
    return [r.append_time_s for r in run.log.read(run.config.topics.identities, 0, 0, 100_000)]


def wrote_by(run: Run, off_s: float) -> None:
    """Until the daemon has written something by a clock that is so far off."""

    def has_written() -> bool:
        return any(abs(s - time.time() - off_s) < _HOUR_S / 2 for s in stamps_of(run)[-1:])

    wait_for(lambda: has_written() or not run.daemon.is_running, "a word by that clock")


def test_a_clock_that_is_set_while_it_runs_changes_nothing(
    tmp_path: Path, config: Config, whole: tuple[int, dict[str, list[bytes]]]
) -> None:
    """Back by an hour, ahead by a day, and right again."""
    total, said = whole
    clock = SteppingClock(tmp_path / "clock")
    run = Run("stepping", tmp_path, config)
    run.daemon.environ = clock.environ
    run.daemon.start()
    for number, off_s in enumerate((-_HOUR_S, 24 * _HOUR_S, 0.0), 1):
        reached(run, total * number / 6)
        assert run.daemon.is_running
        clock.set_off(off_s)
        wrote_by(run, off_s)
    run.daemon.finish()
    assert max(stamps_of(run)) - min(stamps_of(run)) > 24 * _HOUR_S
    assert_same(run.said(), said)


def test_a_file_that_stays_damaged_ends_the_daemon(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been the disk: it is read again some times before."""
    monkeypatch.setattr("stgal_stream.daemon.backoff_s", lambda attempt: 0.0)
    log = EmbeddedLog(tmp_path / "log")
    publish(log, config, rendered(n_people=2))
    log.close()
    path = tmp_path / "log" / "log.sqlite3"
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(content[:half] + bytes(len(content) - half))
    log = EmbeddedLog(tmp_path / "log")
    daemon = Daemon(log, config, "embed")
    with pytest.raises(DamagedLogError, match="malformed") as caught:
        daemon.run(serve=False)
    assert "or the disk cannot be read" in (caught.value.hint or "")
    assert daemon.metrics.restarts.labels("embed")._value.get() == 4
    log.close()


def test_a_second_daemon_ends_and_the_first_goes_on(tmp_path: Path, config: Config) -> None:
    logs = [EmbeddedLog(tmp_path / "log") for _ in range(2)]
    sent = [embedded_upstream(detection) for detection in simulated_walk(1, n_people=2)]
    publish(logs[0], config, sent[:10])
    first = Daemon(logs[0], config)
    runner = threading.Thread(target=first.run, kwargs={"serve": False})
    runner.start()
    assert first.embed is not None
    embed = first.embed
    wait_for(lambda: embed.progress >= 10 or not runner.is_alive(), "a part of it")
    with pytest.raises(PermanentLogError, match=f"held by process {os.getpid()}"):
        Daemon(logs[1], config).run(serve=False)
    publish(logs[1], config, sent[10:])
    wait_for(lambda: embed.progress >= 30 or not runner.is_alive(), "the rest")
    first.stop.set()
    runner.join()
    assert first.failure is None
    assert first.metrics.restarts.labels("embed")._value.get() == 0
    for log in logs:
        log.close()


def test_what_retention_took_unread_is_said(tmp_path: Path, config: Config) -> None:
    run = Run("late", tmp_path, config)
    run.daemon.start()
    wait_for(lambda: run.progress > 200 or not run.daemon.is_running, "some records")
    run.daemon.kill()
    assert isinstance(run.log, EmbeddedLog)
    topic, group = run.config.topics.detections, f"{run.config.kafka.group_prefix}-embed"
    read = run.log.committed(group, topic)[0]
    first = read + 150
    run.log.replace(topic, dict.fromkeys(range(first)))
    run.daemon.start()
    run.daemon.finish()
    said = re.findall(r"/0: records (\d+) to (\d+) were deleted by retention", run.daemon.errors)
    assert said == [(str(read), str(first - 1))]
    assert len(run.said()["identities"]) > 100
