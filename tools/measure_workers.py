#!/usr/bin/env python3
"""Several worker processes on a real Kafka broker: CPU time a record, and that nothing is lost.

    KAFKA_TEST_BROKER=$(tools/kafka-start) tools/measure_workers.py
    tools/measure_workers.py --records 60000 --workers 1 --workers 8

Pre-embedded detections of simulated people at eight sites go through 1, 2 and 4 processes of the
embed stage, then through as many of the associate stage. In a further row a worker of each stage is
killed on the way and another joins. Each detection must be told of in exactly one ``created`` or
``joined`` event. What a process needs to start is measured by one that has nothing to do, and taken
off.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from dataclasses import fields
from pathlib import Path

import click
import numpy as np

from stgal_stream.configuration import load_config
from stgal_stream.log.kafka import KafkaLog
from stgal_stream.log.port import NewRecord
from stgal_stream.log.reading import values
from stgal_stream.log.topics import topic_specs
from stgal_stream.settings import Config, TopicSettings
from stgal_stream.wire.fields import format_time

_SITES = 8
_DIM = 128
_PEOPLE_A_SECOND = 10.0


class Run:
    """Topics of one run's own, filled with detections, and the configuration of their workers."""

    def __init__(self, address: str, folder: Path, n: int, seed: int) -> None:
        prefix = uuid.uuid4().hex[:8]
        self.log = KafkaLog([address], instance=prefix)
        self.config: Config = load_config(None, {})
        names = {key.name: f"{prefix}-{key.name}" for key in fields(TopicSettings)
                 if not key.name.startswith("retention")}  # fmt: skip
        for key, name in names.items():
            setattr(self.config.topics, key, name)
        self.config.kafka.partitions = _SITES
        self.log.ensure_topics(topic_specs(self.config))
        self.path = folder / f"{prefix}.toml"
        lines = [f'{key} = "{name}"' for key, name in names.items()]
        kafka = [f'group_prefix = "{prefix}"', f"partitions = {_SITES}"]
        limits = ["max_future_s = inf"]
        parts = {"topics": lines, "kafka": kafka, "input": limits}
        self.path.write_text("".join(f"[{k}]\n" + "\n".join(v) + "\n" for k, v in parts.items()))
        sent = _records(n, seed)
        for start in range(0, n, 500):
            self.log.append(
                [
                    NewRecord(self.config.topics.detections, f"{k % _SITES}".encode(), sent[k])
                    for k in range(start, min(start + 500, n))
                ]
            )

    def told(self) -> Counter[str]:
        """How often each detection was given an identity."""
        found = Counter[str]()
        for value in values(self.log, self.config.topics.identities):
            event = json.loads(value)
            if event["type"] in ("created", "joined"):
                found.update(event["tracklet"]["detections"])
        return found


def _records(n: int, seed: int) -> list[bytes]:
    """Detections in order of time, one site after the other in turn: two cameras each, a walk of
    20 s between them."""
    rng = np.random.default_rng(seed)
    people = rng.normal(size=(n // 2 + 1, _DIM))
    rows = []
    for k in range(n):
        person, site, is_second = k // 2, (k // 2) % _SITES, k % 2
        at_s = person / _PEOPLE_A_SECOND + is_second * (20.0 + rng.normal())
        look = people[person] + 0.5 * rng.normal(size=_DIM)
        vector = base64.b64encode(look.astype("<f4").tobytes()).decode()
        rows.append((at_s, site, is_second, person, vector))
    return [
        json.dumps(
            {
                "id": f"d{person}-{camera}",
                "timestamp": format_time(1.7e9 + at_s),
                "site": f"site-{site}",
                "sensorId": f"cam-{camera}",
                "object": {"type": "person", "id": str(person)},
                "embedding": {"vector": vector, "model": "simulated"},
            }
        ).encode()
        for at_s, site, camera, person, vector in sorted(rows)
    ]


class Workers:
    """Processes of one stage, each with a name of its own."""

    def __init__(self, address: str, config: Path, stage: str) -> None:
        self._command = [
            *(sys.executable, "-m", "stgal_stream.cli", "run", "--brokers", address),
            *("--config", str(config), "--stage", stage, "--until-end"),
        ]
        self._running: list[tuple[subprocess.Popen[bytes], Path]] = []
        self._folder = config.parent
        self.cpu_s = 0.0
        self.n_started = 0

    def start(self, n: int = 1) -> None:
        for _ in range(n):
            self.n_started += 1
            name = uuid.uuid4().hex[:8]
            env = os.environ | {
                "STGAL_KAFKA_INSTANCE": name,
                "STGAL_DAEMON_STATE_DIR": str(self._folder / name),
                "STGAL_DAEMON_HTTP_PORT": "0",
                "OMP_NUM_THREADS": "1",
            }
            told = self._folder / f"{name}.log"
            with told.open("wb") as out:
                worker = subprocess.Popen(self._command, env=env, stderr=out, stdout=out)
            self._running.append((worker, told))

    def kill_one(self) -> None:
        """One that still has something to do."""
        at_work = [worker for worker, _ in self._running if _ended(worker) is None]
        at_work[0].send_signal(signal.SIGKILL)

    def check(self) -> None:
        """
        Raises:
            ClickException: one of them has failed.
        """
        for worker, told in self._running:
            if code := _ended(worker):
                detail = f"a worker ended with {code}"
                raise click.ClickException(f"{detail}:\n{told.read_text()[-2000:]}")

    def finish(self) -> None:
        """Waits for all, and counts what they took."""
        for worker, told in self._running:
            _, status, use = os.wait4(worker.pid, 0)
            worker.returncode = os.waitstatus_to_exitcode(status)
            self.cpu_s += use.ru_utime + use.ru_stime
            if worker.returncode not in (0, -signal.SIGKILL):
                raise click.ClickException(told.read_text()[-2000:])
        self._running.clear()


def _ended(worker: subprocess.Popen[bytes]) -> int | None:
    """The exit code of a process that has ended; what it took can still be asked for."""
    found = os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return None if found is None else found.si_status


def measure(address: str, folder: Path, n: int, seed: int, n_workers: int, breaks: bool) -> str:
    """One row of the table: both stages with so many workers; where one of them ``breaks``, it is
    killed after a while and another joins."""
    run = Run(address, folder, n, seed)
    empty = Run(address, folder, 0, seed)
    shown = []
    for stage in ("embed", "associate"):
        idle = Workers(address, empty.path, stage)
        idle.start()
        idle.finish()
        workers = Workers(address, run.path, stage)
        began_s = time.perf_counter()
        workers.start(n_workers)
        if breaks:
            _break(run, stage, n, workers)
        workers.finish()
        seconds = time.perf_counter() - began_s
        cpu_s = workers.cpu_s - idle.cpu_s * workers.n_started
        shown.append(f"{1e3 * cpu_s / n:.3f} | {seconds:.0f}")
    told = run.told()
    lost, doubled = n - len(told), sum(k > 1 for k in told.values())
    run.log.close()
    empty.log.close()
    name = f"{n_workers}, one killed, one joins" if breaks else str(n_workers)
    return f"| {name} | {' | '.join(shown)} | {lost} | {doubled} |"


def _break(run: Run, stage: str, n: int, workers: Workers) -> None:
    """When a fifth is done: one worker dies, and another joins."""
    topics = run.config.topics
    topic = topics.embeddings if stage == "embed" else topics.identities
    while sum(run.log.end(topic, partition) for partition in range(_SITES)) < n / 5:
        workers.check()
        time.sleep(0.1)
    workers.kill_one()
    workers.start()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--records", default=40_000, show_default=True)
@click.option("--workers", multiple=True, type=int, default=(1, 2, 4), show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(records: int, workers: tuple[int, ...], seed: int) -> None:
    """Measure worker processes on a broker: KAFKA_TEST_BROKER=$(tools/kafka-start)."""
    address = os.environ.get("KAFKA_TEST_BROKER")
    if not address:
        raise click.ClickException("no broker: KAFKA_TEST_BROKER=$(tools/kafka-start)")
    click.echo(
        "| workers | embed, CPU ms a record | s | associate, CPU ms a record | s | lost | doubled |"
        "\n|---|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as scratch:
        for n_workers in workers:
            click.echo(measure(address, Path(scratch), records, seed, n_workers, False))
        click.echo(measure(address, Path(scratch), records, seed, max(workers), True))


if __name__ == "__main__":
    main()
