#!/usr/bin/env python
"""What decoding each format costs: `tools/measure_formats.py [--n 3000]`.

Of each format: microseconds a record in the decoder alone, and as a share of the whole embed stage
on the same records (reading, decoding, writing, committing): on an embedded log, and on a real
Kafka broker where KAFKA_TEST_BROKER names one. Formats with vectors have 256 numbers; those with
pictures have a crop, embedded by the shipped extractor.
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
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path

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
    """Seconds for all records in the decoder alone."""
    inputs = InputSettings(max_future_s=float("inf"))
    began = time.perf_counter()
    for value in values:
        found = decode(Record(Partition("d", 0), 0, None, value, _TOPIC, 1.8e9), inputs)
        assert found.messages
    return time.perf_counter() - began


def stage_s(values: list[bytes], log: Log, config: Config) -> float:
    """Seconds for all records in the embed stage."""
    log.ensure_topics(topic_specs(config))
    for i in range(0, len(values), _APPENDED):
        some = values[i : i + _APPENDED]
        log.append([NewRecord(config.topics.detections, b"k", value, _TOPIC) for value in some])
    daemon, end = Daemon(log, config, "embed"), threading.Event()
    end.set()
    began = time.perf_counter()
    daemon.run(end=end, serve=False)
    return time.perf_counter() - began


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("--n", type=int, default=3000)
    n = parser.parse_args().n
    broker = os.environ.get("KAFKA_TEST_BROKER")
    logs = {"an embedded log": embedded} | ({"Kafka": lambda: kafka(broker)} if broker else {})
    shares = [f"share of the embed stage, {log}" for log in logs]
    table = Table("format", "a person comes with", "us a record", *shares)
    for name in WRITERS:
        values = messages(name, n)
        decoder_s(values[:100])
        alone_s, whole_s = decoder_s(values), []
        for made in logs.values():
            with made() as (log, config):
                whole_s.append(stage_s(values, log, config))
        look = "a crop" if name in WITH_PICTURES else "256 numbers"
        told = [f"{alone_s / whole:.1%}" for whole in whole_s]
        table.add_row(name, look, f"{1e6 * alone_s / n:.0f}", *told)
    Console().print(table)


if __name__ == "__main__":
    main()
