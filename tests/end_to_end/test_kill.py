"""Exactly once: killed with SIGKILL at random points, the output is the same, byte for byte.

The daemon is a process of its own; the log is embedded, or a real Kafka broker. One site brings its
own vectors, another crops, and some records cannot be used. ``TEST_KILLS`` is how many.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from stgal_stream.settings import Config
from tests.support.interrupted import Run, assert_same, undisturbed
from tests.support.waiting import HANG_S

pytestmark = [pytest.mark.slow, pytest.mark.fault]

# Of a daemon on each kind of log; on a broker each start waits for its group.
N_KILLS = {"embedded": 7, "kafka": 5}


def killed(run: Run, points: list[float]) -> int:
    """Runs to the end with kills at random points; how many of them hit a daemon at work."""
    rng = np.random.default_rng(2024)
    daemon, n_killed = run.daemon, 0
    for point in points:
        daemon.start()
        assert daemon.process is not None
        deadline = time.monotonic() + HANG_S
        while run.progress < point and time.monotonic() < deadline:
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
    broker = None if kind == "embedded" else request.getfixturevalue("broker")
    n_kills = int(os.environ.get("TEST_KILLS", N_KILLS[kind]))
    total, whole = undisturbed(Run("whole", tmp_path, config, broker))
    run = Run("killed", tmp_path, config, broker)
    share = np.random.default_rng(2023).uniform(0.0, 0.97, n_kills)
    assert killed(run, (np.sort(share) * total).tolist()) == n_kills
    assert_same(run.said(), whole)
