#!/usr/bin/env python
"""How the page does with many sightings: `tools/measure_web.py [--n 1000000] [--dimension 128]`.

A read model of simulated sightings is written directly, then asked: how long a start takes, an
exact search over all, a page of identities, one identity, the site; and how many identity events a
second a follower takes from an embedded log. Answers are the median and worst of 20.

`--beside` measures the daemon instead: pre-embedded detections a second on an embedded log, alone
and with the page and ten open browsers' streams beside it, in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.request import urlopen

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from rich.console import Console
from rich.table import Table

from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.port import NewRecord
from stgal_stream.log.topics import topic_specs
from stgal_stream.settings import Config
from stgal_stream.types import IdentityEvent, Tracklet
from stgal_stream.web.follower import Follower
from stgal_stream.web.questions import Questions
from stgal_stream.web.read_model import ReadModel
from stgal_stream.web.search import Search
from stgal_stream.web.vector_library import VectorLibrary
from stgal_stream.wire.embedding import EmbeddingRecord, encode
from stgal_stream.wire.events import encode_identity
from tests.support.streams import embedded_upstream
from tests.support.walk import simulated_walk

COMMAND = [sys.executable, "-m", "stgal_stream.cli"]
_CAMERAS = 64
_EACH = 20  # sightings of an identity
_TIMES = 20


def fill(connection: sqlite3.Connection, directory: Path, n: int, dimension: int) -> None:
    """Rows and vectors of ``n`` sightings."""
    rng = np.random.default_rng(1)
    now = time.time()
    connection.execute("BEGIN")
    connection.execute("INSERT INTO extractor VALUES (1, 'model', ?)", (dimension,))
    connection.executemany(
        "INSERT INTO camera VALUES ('site', ?, 0, ?, 1, ?)",
        ((f"c{i}", float(n), now) for i in range(_CAMERAS)),
    )
    connection.executemany(
        "INSERT INTO sighting VALUES (?, 'site', ?, ?, ?, ?, ?, 5, NULL, 0, NULL, 0, 0, 1, ?, ?)",
        (
            (i, f"s{i}", f"c{i % _CAMERAS}", float(i), i + 5.0, f"p{i // _EACH}", i, now)
            for i in range(n)
        ),
    )
    connection.executemany(
        "INSERT INTO identity VALUES ('site', ?, ?, ?, ?, NULL, NULL, ?)",
        ((f"p{i}", 1.0 * _EACH * i, _EACH * (i + 1.0), _EACH, now) for i in range(n // _EACH)),
    )
    connection.executemany(
        "INSERT INTO event VALUES (?, 'site', ?, 'joined', ?, NULL, ?, NULL, ?)",
        ((i + 1, float(i), f"p{i // _EACH}", f"s{i}", now) for i in range(n)),
    )
    connection.execute("COMMIT")
    with (directory / "vectors-1.f32").open("wb") as file:
        for at in range(0, n, 10_000):
            rows = min(10_000, n - at)
            file.write(rng.normal(size=(rows, dimension)).astype("<f4").tobytes())


def timed(what: Callable[[], object]) -> tuple[float, float]:
    """Median and worst, in seconds."""
    taken = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        what()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken), max(taken)


def events_per_s(n: int, dimension: int) -> float:
    """How many identity events, each with its embedding, a follower takes in a second."""
    config = Config()
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as scratch, closing(EmbeddedLog(Path(scratch))) as log:
        log.ensure_topics(topic_specs(config))
        for at in range(0, n, 500):
            some = []
            for i in range(at, min(at + 500, n)):
                vector = rng.normal(size=dimension).astype("<f4")
                record = EmbeddingRecord(
                    "s", f"d{i}", "c", float(i), "m", vector.tobytes(), None, None, None, None, 0.0
                )
                seen = Tracklet(i, "c", float(i), float(i), vector, "m", (f"d{i}",))
                event = IdentityEvent("created", float(i), f"p{i}", tracklet=seen)
                some.append(NewRecord(config.topics.embeddings, b"s", encode(record)))
                some.append(NewRecord(config.topics.identities, b"s", encode_identity("s", event)))
            log.append(some)
        model = ReadModel(Path(scratch) / "web", log.identity)
        follower = Follower(log, config.topics, model, lambda: None)
        stop = threading.Event()
        thread = threading.Thread(target=follower.run, args=(stop,))
        began = time.perf_counter()
        thread.start()
        while thread.is_alive() and not follower.caught_up.wait(1.0):
            pass
        taken = time.perf_counter() - began
        stop.set()
        thread.join()
        assert model.select("SELECT count(*) FROM sighting WHERE slot IS NOT NULL")[0][0] == n
    return n / taken


def daemon_per_s(n_people: int, beside: bool) -> float:
    """Detections a second through a daemon of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        env = os.environ | {"STGAL_DAEMON_STATE_DIR": scratch, "STGAL_DAEMON_HTTP_PORT": "0"}
        config = Config()
        with closing(EmbeddedLog(Path(scratch) / "log")) as log:
            log.ensure_topics(topic_specs(config))
            sent = [embedded_upstream(d) for d in simulated_walk(1, n_people)]
            for at in range(0, len(sent), 500):
                some = sent[at : at + 500]
                log.append([NewRecord(config.topics.detections, b"k", value) for value in some])
        where = ("--embedded", f"{scratch}/log")
        page = streams = None
        if beside:
            page = subprocess.Popen(
                [*COMMAND, "web", *where, "--port", "0"],
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            assert page.stdout is not None
            address = page.stdout.readline().split()[0]
            streams = [urlopen(f"{address}api/v1/events?site=upstream") for _ in range(10)]
        began = time.perf_counter()
        subprocess.run([*COMMAND, "run", *where, "--until-end"], env=env, check=True,
                       stderr=subprocess.DEVNULL)  # fmt: skip
        taken = time.perf_counter() - began
        for stream in streams or ():
            stream.close()
        if page is not None:
            page.terminate()
            page.wait()
    return len(sent) / taken


def measure_beside() -> None:
    """Alone and beside the page, in turns."""
    alone, beside = [], []
    for _ in range(3):
        alone.append(daemon_per_s(600, beside=False))
        beside.append(daemon_per_s(600, beside=True))
    print("alone", [round(rate) for rate in alone], "beside", [round(rate) for rate in beside])
    print(f"ratio of the medians {statistics.median(beside) / statistics.median(alone):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--beside", action="store_true")
    asked = parser.parse_args()
    if asked.beside:
        measure_beside()
        return
    found: dict[str, tuple[float, ...]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        model = ReadModel(directory, "a log")
        with model.writing() as connection:
            fill(connection, directory, asked.n, asked.dimension)
            began = time.perf_counter()
            vectors = VectorLibrary(directory, connection)
            found["start, until search is ready"] = (time.perf_counter() - began,)
            questions = Questions(model)
            search = Search(questions, vectors)
            began = time.perf_counter()
            search.by_sighting("site", "s7", 50)
            found["first search"] = (time.perf_counter() - began,)
            middle = f"p{asked.n // _EACH // 2}"
            infinity = float("inf")
            for name, what in {
                "search": lambda: search.by_sighting("site", "s7", 50),
                "site": lambda: questions.site("site", True, None),
                "48 identities": lambda: questions.identities("site", None, 0, infinity, None, 48),
                "48 identities of a camera": lambda: questions.identities(
                    "site", "c3", 0, infinity, None, 48
                ),
                "one identity": lambda: questions.identity("site", middle),
            }.items():
                found[name] = timed(what)
            vectors.close()
    rate = events_per_s(20_000, asked.dimension)
    if asked.json:
        print(json.dumps({**found, "events a second": rate}))
        return
    table = Table("what", "median, ms", "worst, ms")
    for name, times in found.items():
        table.add_row(name, *(f"{1000 * seconds:,.1f}" for seconds in times))
    console = Console()
    console.print(f"{asked.n:,} sightings, {asked.dimension} numbers each", table)
    console.print(f"a follower takes {rate:,.0f} identity events a second, with their embeddings")


if __name__ == "__main__":
    main()
