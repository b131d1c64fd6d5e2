#!/usr/bin/env python
"""What decoding each format costs: `tools/measure_formats.py [--n 12000] [--crops 500]`.

Of each format: microseconds a record in the decoder alone, and as a share of the whole embed stage
on the same records (reading, decoding, writing, committing): on an embedded log, and on a real
Kafka broker where KAFKA_TEST_BROKER names one. A share of 10 % or more is marked, and counted at
the end. Formats with vectors have 256 numbers; those with pictures have a crop, embedded by the
shipped extractor. All times are CPU time, so waiting for a disk or broker makes no share smaller.
What the stage takes on an empty log, to start and to end, does not count; the decoder is timed
before and after each stage.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from stgal_stream.configuration import simulated_config
from stgal_stream.daemon import Daemon
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.kafka import KafkaLog
from stgal_stream.log.port import Log, NewRecord, Partition, Record
from stgal_stream.log.topics import topic_specs
from stgal_stream.settings import Config, InputSettings
from stgal_stream.wire.detection import decode
from tests.support.detector_messages import WITH_PICTURES, WRITERS, Seen, written

_APPENDED = 500  # records at once
_BAR = 0.1  # the share that decoding may take
Opened = Callable[[], AbstractContextManager[tuple[Log, Config]]]  # a new log
_TOPIC = (("mqtt.topic", b"axis/ACCC8E012345/frame"),)


def _picture(rng: np.random.Generator) -> bytes:
    small = rng.integers(0, 256, (16, 8, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(small).resize((64, 128), Image.Resampling.BICUBIC).save(stream, "JPEG")
    return stream.getvalue()


def messages(name: str, n: int) -> list[bytes]:
    """Records of one format, each of one person."""
    rng = np.random.default_rng(1)
    picture = _picture(rng)
    vector = tuple(round(float(x), 4) for x in rng.normal(size=256))
    seen = Seen(vector=vector, picture=picture)
    return [written(name, replace(seen, time_s=seen.time_s + 0.5 * i, track=i)) for i in range(n)]


def decoder_s(values: list[bytes]) -> float:
    """CPU seconds for all records in the decoder alone."""
    inputs = InputSettings(max_future_s=float("inf"))
    records = [Record(Partition("d", 0), 0, None, value, _TOPIC, 1.8e9) for value in values]
    began = time.process_time()
    for record in records:
        assert decode(record, inputs).messages
    return time.process_time() - began


def stage_s(values: list[bytes], opened: Opened) -> float:
    """CPU seconds for all records in the embed stage, with its start and end."""
    with opened() as (log, config):
        return _run_s(values, log, config)


def _run_s(values: list[bytes], log: Log, config: Config) -> float:
    log.ensure_topics(topic_specs(config))
    for i in range(0, len(values), _APPENDED):
        some = values[i : i + _APPENDED]
        log.append([NewRecord(config.topics.detections, b"k", value, _TOPIC) for value in some])
    daemon, end = Daemon(log, config, "embed"), threading.Event()
    end.set()
    began = time.process_time()
    daemon.run(end=end, serve=False)
    return time.process_time() - began


@contextmanager
def embedded() -> Iterator[tuple[Log, Config]]:
    """A new embedded log."""
    with tempfile.TemporaryDirectory() as scratch:
        config = simulated_config(Path(scratch) / "state")
        with closing(EmbeddedLog(Path(scratch) / "log")) as log:
            yield log, config


@contextmanager
def kafka(address: str) -> Iterator[tuple[Log, Config]]:
    """Topics of their own on a real broker."""
    with tempfile.TemporaryDirectory() as scratch:
        config, name = simulated_config(Path(scratch) / "state"), uuid.uuid4().hex[:8]
        config.kafka.group_prefix, config.kafka.partitions = name, 1
        for key, topic in asdict(config.topics).items():
            if isinstance(topic, str):
                setattr(config.topics, key, f"{name}-{topic}")
        with closing(KafkaLog([address], instance=name)) as log:
            yield log, config


def shares(values: list[bytes], logs: Iterable[Opened]) -> tuple[float, list[float]]:
    """CPU seconds in the decoder alone, and its share of the stage on each log."""
    alone_s, found = [decoder_s(values)], []
    for opened in logs:
        whole_s = stage_s(values, opened) - stage_s([], opened)
        alone_s.append(decoder_s(values))
        found.append((alone_s[-2] + alone_s[-1]) / 2 / whole_s)
    return median(alone_s), found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("--n", type=int, default=12_000)
    parser.add_argument("--crops", type=int, default=500, help="records of formats with pictures")
    asked = parser.parse_args()
    broker = os.environ.get("KAFKA_TEST_BROKER")
    logs: dict[str, Opened] = {"an embedded log": embedded}
    if broker:
        logs["Kafka"] = lambda: kafka(broker)
    columns = [f"share of the embed stage, {log}" for log in logs]
    table = Table("format", "a person comes with", "us a record", *columns)
    over = dict.fromkeys(logs, 0)
    for name in WRITERS:
        n = asked.crops if name in WITH_PICTURES else asked.n
        values = messages(name, n)
        decoder_s(values[:100])
        alone_s, found = shares(values, logs.values())
        for log, share in zip(logs, found, strict=True):
            over[log] += share >= _BAR
        look = "a crop" if name in WITH_PICTURES else "256 numbers"
        told = [f"{share:.1%}{' !' if share >= _BAR else ''}" for share in found]
        table.add_row(name, look, f"{1e6 * alone_s / n:.0f}", *told)
    console = Console()
    console.print(table)
    for log, n_over in over.items():
        console.print(f"{log}: {n_over} of {len(WRITERS)} formats at {_BAR:.0%} or more")


if __name__ == "__main__":
    main()
