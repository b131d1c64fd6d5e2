#!/usr/bin/env python
"""Broken messages of every format through the decoder: `tools/fuzz_formats.py [--inputs 1000000]`.

An input is a message of a detector with something done to its bytes, structure or values
(tests/support/hostile.py). Whatever comes of it must be a detection or a refusal with a reason. It
prints how many were taken and refused, and the slowest input by its size (CPU time).
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rich.console import Console
from rich.table import Table

from stgal_stream.log.port import Partition, Record
from stgal_stream.settings import InputSettings
from stgal_stream.wire.detection import decode
from stgal_stream.wire.fields import BadRecord
from tests.support.detector_messages import WRITERS, Seen, written
from tests.support.hostile import broken

_INPUTS = InputSettings(max_future_s=float("inf"))
_TOPIC = (("mqtt.topic", b"axis/ACCC8E012345/frame"),)
_MB = 1024 * 1024
# Below it the time is the call's own, whatever the size.
_LEAST_BYTES = 4096


def fuzz(name: str, n: int, seed: int) -> tuple[Counter[str], float]:
    """What came of ``n`` inputs, and the most seconds a MB."""
    chance = random.Random(f"{name} {seed}")
    good = written(name, Seen(), Seen(track=8), Seen(kind="bag"))
    came: Counter[str] = Counter()
    slowest = 0.0
    for _ in range(n):
        value = broken(good, chance)
        record = Record(Partition("d", 0), 0, None, value, _TOPIC, 1.8e9)
        began = time.thread_time()
        try:
            found = decode(record, _INPUTS)
            came["taken" if found.messages else "nobody in it"] += 1
        except BadRecord as fault:
            came[str(fault.reason)] += 1
        if len(value) > _LEAST_BYTES:
            slowest = max(slowest, (time.thread_time() - began) / (len(value) / _MB))
    return came, slowest


def slow_inputs() -> dict[str, bytes]:
    """Messages of a megabyte that ask for much."""
    deep = b'{"Frame":' * 100_000
    keys = ",".join(f'"k{i}":{i}' for i in range(80_000))
    names = ",".join('"7|1|2|3|4|Person|#|embedding|0.5,0.5|"' for _ in range(25_000))
    bags = ",".join('{"id":1,"category":"person"}' for _ in range(35_000))
    number = "1" * 1_000_000
    frame = '"sensorId":"c","@timestamp":"2025-01-01T00:00:00Z"'
    texts = ",".join('"1"' for _ in range(250_000))
    return {
        "levels": deep,
        "keys": f"{{{keys}}}".encode(),
        "people as text": f'{{{frame},"objects":[{names}]}}'.encode(),
        "parts": f'{{{frame},"objects":["7|1|2|3|4|Person{"|x" * 500_000}"]}}'.encode(),
        "numbers as text": f'{{{frame},"objects":[{{"embedding":[{texts}]}}]}}'.encode(),
        "people": f'{{"id":"c","timestamp":"x","objects":{{"person":[{bags}]}}}}'.encode(),
        "digits": f'{{"sensorId":"c","timestamp":{number},"crop":{{"data":""}}}}'.encode(),
        "blanks": b" " * 1_000_000 + b"{}",
        "base64": b'{"sensorId":"c","timestamp":1.7e9,"crop":{"data":"' + b"A" * 1_000_000 + b'"}}',
        "binary": b"\x0a\x03" + b"\x2a\x02\x0a\x00" * 250_000,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    console, table = (
        Console(),
        Table("format", "taken", "nobody in it", "refused", "ms a MB at most"),
    )
    for name in WRITERS:
        came, slowest = fuzz(name, asked.inputs // len(WRITERS), asked.seed)
        refused = came.total() - came["taken"] - came["nobody in it"]
        counts = (came["taken"], came["nobody in it"], refused)
        table.add_row(name, *(f"{count:,}" for count in counts), f"{1e3 * slowest:.0f}")
    console.print(table)
    for name, value in slow_inputs().items():
        record = Record(Partition("d", 0), 0, None, value, (), 1.8e9)
        began = time.thread_time()
        try:
            came_of_it = f"{len(decode(record, _INPUTS).faults)} faults"
        except BadRecord as fault:
            came_of_it = str(fault.reason)
        ms = 1e3 * (time.thread_time() - began) / (len(value) / _MB)
        console.print(f"{name}: {ms:.0f} ms a MB, {came_of_it}")


if __name__ == "__main__":
    main()
