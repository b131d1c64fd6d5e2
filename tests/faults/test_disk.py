"""A disk that takes no more under a running daemon, and a log that forgets before it was read."""

from __future__ import annotations

import re
import resource
from pathlib import Path

import pytest

from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.settings import Config
from tests.support.interrupted import Run, assert_same, undisturbed
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.fault]

_FULL_BYTES = 20_000  # what the daemon says itself is less, any commit reaches beyond it


def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path: Path, config: Config) -> None:
    """The daemon may write to no file beyond its first kilobytes, until it has said so."""
    total, whole = undisturbed(Run("whole", tmp_path, config))
    run = Run("full", tmp_path, config)
    run.daemon.start()
    wait_for(lambda: run.progress > total / 4 or not run.daemon.is_running, "a quarter of it")
    assert run.daemon.process is not None
    pid, kind = run.daemon.process.pid, resource.RLIMIT_FSIZE
    before = resource.prlimit(pid, kind, (_FULL_BYTES, resource.RLIM_INFINITY))
    wait_for(lambda: "it restarts in" in run.daemon.errors or not run.daemon.is_running, "a word")
    assert run.daemon.is_running
    assert run.progress < total
    resource.prlimit(pid, kind, before)
    run.daemon.finish()
    assert_same(run.said(), whole)


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
