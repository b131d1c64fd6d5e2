#!/usr/bin/env python
"""What decoding each format costs: `tools/measure_formats.py [--n 3000]`.

Of each format: microseconds a record in the decoder alone, and as a share of the whole embed stage
on the same records on an embedded log (reading, decoding, writing, committing). Formats with
vectors have 256 numbers; those with pictures have a crop, embedded by the shipped extractor.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from stgal_stream.configuration import simulated_config
from stgal_stream.daemon import Daemon
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.port import NewRecord, Partition, Record
from stgal_stream.log.topics import topic_specs
from stgal_stream.settings import InputSettings
from stgal_stream.wire.detection import decode
from tests.support.detector_messages import WITH_PICTURES, WRITERS, Seen, written

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


def stage_s(values: list[bytes]) -> float:
    """Seconds for all records in the embed stage."""
    with tempfile.TemporaryDirectory() as scratch:
        config = simulated_config(Path(scratch) / "state")
        log = EmbeddedLog(Path(scratch) / "log")
        log.ensure_topics(topic_specs(config))
        log.append([NewRecord(config.topics.detections, b"k", v, _TOPIC) for v in values])
        daemon, end = Daemon(log, config, "embed"), threading.Event()
        end.set()
        began = time.perf_counter()
        daemon.run(end=end, serve=False)
        took_s = time.perf_counter() - began
        log.close()
    return took_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("--n", type=int, default=3000)
    n = parser.parse_args().n
    table = Table("format", "a person comes with", "us a record", "share of the embed stage")
    for name in WRITERS:
        values = messages(name, n)
        decoder_s(values[:100])
        alone_s, whole_s = decoder_s(values), stage_s(values)
        look = "a crop" if name in WITH_PICTURES else "256 numbers"
        table.add_row(name, look, f"{1e6 * alone_s / n:.0f}", f"{alone_s / whole_s:.1%}")
    Console().print(table)


if __name__ == "__main__":
    main()
