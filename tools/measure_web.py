#!/usr/bin/env python
"""How the page does with many sightings: `tools/measure_web.py [--n 1000000] [--dimension 128]`.

A read model of simulated sightings is written directly, then asked: how long a start takes, an
exact search over all, a page of identities, one identity, the site; and how many identity events a
second a follower takes from an embedded log. Answers are the median and worst of 20, and the CPU
time, which says more where others use the machine.

`--beside` measures the daemon instead: pre-embedded detections a second on an embedded log, alone
and beside the page with ten that look at it, in turns. `--page` measures what a browser shows and
when: Chromium at a site of so many sightings.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from http.client import HTTPException
from itertools import chain, count
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright
from rich.console import Console
from rich.table import Table

from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.port import NewRecord
from stgal_stream.log.reading import values
from stgal_stream.log.topics import topic_specs
from stgal_stream.settings import Config
from stgal_stream.types import IdentityEvent, Tracklet, Vectors
from stgal_stream.web.follower import Follower
from stgal_stream.web.quantised import QuantisedFile
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
SITE = "upstream"


def looks(kind: str, n: int, dimension: int) -> Iterator[Vectors]:
    """Vectors of ``n`` sightings, in parts. ``strangers``: all directions are as likely, the most
    that a search has to look at. ``people``: 64 numbers tell people apart, all have a mean in
    common. ``one``: nobody can be told apart in 8 bits, the worst case."""
    rng = np.random.default_rng(1)
    people = rng.normal(size=(n // _EACH + 1, 64)).astype(np.float32)
    directions = (rng.normal(size=(64, dimension)) / 8).astype(np.float32)
    mean = rng.normal(size=dimension).astype(np.float32)
    for at in range(0, n, 1000):
        rows = min(1000, n - at)
        if kind == "people":
            seen = people[np.arange(at, at + rows) // _EACH]
            seen = seen + 0.5 * rng.standard_normal(size=(rows, 64), dtype=np.float32)
            yield seen @ directions + mean
        else:
            some = rng.standard_normal(size=(rows, dimension), dtype=np.float32)
            yield some if kind == "strangers" else 1 + np.float32(1e-5) * some


def fill(
    connection: sqlite3.Connection, directory: Path, n: int, dimension: int, kind: str
) -> None:
    """Rows and vectors of ``n`` sightings."""
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
        "INSERT INTO identity VALUES ('site', ?, ?, ?, ?, NULL, NULL, ?, NULL)",
        ((f"p{i}", 1.0 * _EACH * i, _EACH * (i + 1.0), _EACH, now) for i in range(n // _EACH)),
    )
    connection.executemany(
        "INSERT INTO event VALUES (?, 'site', ?, 'joined', ?, NULL, ?, NULL, NULL, ?)",
        ((i + 1, float(i), f"p{i // _EACH}", f"s{i}", now) for i in range(n)),
    )
    times = {
        "p10Seconds": 5.0,
        "medianSeconds": 10.0,
        "p90Seconds": 60.0,
        "medianDriftSeconds": 0.0,
    }
    pairs = [
        {"sensorIds": [f"c{i}", f"c{j}"], "verdict": "linked", "associations": i + j} | times
        for i in range(_CAMERAS)
        for j in range(i)
    ]
    body = json.dumps({"pairs": pairs, "learned": True, "expectedPrecision": 0.9, "alpha": 3.0})
    connection.execute("INSERT INTO calibration VALUES (1, 'site', ?, ?, ?)", (n, body, now))
    connection.execute("COMMIT")
    quantised = QuantisedFile(directory / "vectors-1.i8", dimension)
    with (directory / "vectors-1.f32").open("wb") as file, closing(quantised):
        for at, vectors in enumerate(looks(kind, n, dimension)):
            file.write(vectors.astype("<f4").tobytes())
            quantised.put(1000 * at, vectors)


def in_full(directory: Path, n: int, dimension: int) -> Callable[[], object]:
    """What a search would cost that reads every vector."""
    vectors = np.memmap(directory / "vectors-1.f32", "<f4", "r", shape=(n, dimension))
    return lambda: [vectors[at : at + 65_536] @ vectors[7] for at in range(0, n, 65_536)]


def timed(asked: dict[str, Callable[[], object]]) -> dict[str, tuple[float, ...]]:
    """Median and worst of each in seconds, and its median CPU seconds; all are asked in turns."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in asked}
    for _ in range(_TIMES):
        for name, what in asked.items():
            began, cpu_s = time.perf_counter(), time.process_time()
            what()
            taken[name].append((time.perf_counter() - began, time.process_time() - cpu_s))
    return {
        name: (
            statistics.median(seconds for seconds, _ in times),
            max(seconds for seconds, _ in times),
            statistics.median(cpu_s for _, cpu_s in times),
        )
        for name, times in taken.items()
    }


def seen_now(i: int, dimension: int) -> list[NewRecord]:
    """A new person: the embedding and the event."""
    topics, at_s = Config().topics, 1e6 + i
    vector = np.random.default_rng(i).normal(size=dimension).astype("<f4")
    record = EmbeddingRecord(
        "site", f"d{i}", "c0", at_s, "m", vector.tobytes(), None, None, None, None, 0.0
    )
    seen = Tracklet(i, "c0", at_s, at_s, vector, "m", (f"d{i}",))
    event = IdentityEvent("created", at_s, f"new{i}", tracklet=seen)
    return [
        NewRecord(topics.embeddings, b"site", encode(record)),
        NewRecord(topics.identities, b"site", encode_identity("site", event)),
    ]


def events_per_s(n: int, dimension: int) -> float:
    """How many identity events, each with its embedding, a follower takes in a second."""
    config = Config()
    with tempfile.TemporaryDirectory() as scratch, closing(EmbeddedLog(Path(scratch))) as log:
        log.ensure_topics(topic_specs(config))
        for at in range(0, n, 500):
            some = [seen_now(i, dimension) for i in range(at, min(at + 500, n))]
            log.append(list(chain.from_iterable(some)))
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


class OpenPages:
    """The page's process, and what ten open pages ask of it: the stream of events, and the site
    again whenever it has changed, every two seconds at most."""

    def __init__(self, where: Sequence[str], env: dict[str, str], n: int = 10) -> None:
        self._process = subprocess.Popen(
            [*COMMAND, "web", *where, "--port", "0"],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        self._address = self._process.stdout.readline().split()[0] + "api/v1"
        self._threads = [threading.Thread(target=self._look, daemon=True) for _ in range(n)]
        for thread in self._threads:
            thread.start()
        self._cpu_s = self._used_s()

    def _used_s(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _look(self) -> None:
        asked_s = 0.0
        with (
            suppress(OSError, HTTPException),
            urlopen(f"{self._address}/events?site={SITE}") as stream,
        ):
            while stream.read1(65_536):
                if time.monotonic() - asked_s >= 2.0:
                    asked_s = time.monotonic()
                    with (
                        suppress(HTTPError),
                        urlopen(f"{self._address}/site?site={SITE}") as answer,
                    ):
                        answer.read()

    def close(self) -> float:
        """CPU seconds that the process has used since its start."""
        used_s = self._used_s() - self._cpu_s
        self._process.terminate()
        self._process.wait()
        return used_s


def daemon_per_s(n_people: int, beside: bool) -> tuple[float, float, str]:
    """Detections a second through a daemon of its own; CPU seconds of the page for 1,000 identity
    events; a digest of what the daemon has said."""
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
        pages = OpenPages(where, env) if beside else None
        began = time.perf_counter()
        subprocess.run([*COMMAND, "run", *where, "--until-end"], env=env, check=True,
                       stderr=subprocess.DEVNULL)  # fmt: skip
        taken = time.perf_counter() - began
        used_s = pages.close() if pages is not None else 0.0
        with closing(EmbeddedLog(Path(scratch) / "log")) as log:
            said = list(values(log, config.topics.identities))
    digest = hashlib.sha256(b"\0".join(said)).hexdigest()[:12]
    return len(sent) / taken, used_s / len(said) * 1000, digest


def measure_beside(times: int) -> None:
    """Alone and beside the page, in turns."""
    alone, beside = [], []
    for _ in range(times):
        alone.append(daemon_per_s(600, beside=False))
        beside.append(daemon_per_s(600, beside=True))
        print(f"{alone[-1][0]:.0f} alone, {beside[-1][0]:.0f} beside", flush=True)
    ratio = statistics.median(b[0] for b in beside) / statistics.median(a[0] for a in alone)
    cpu_s = statistics.median(b[1] for b in beside)
    print(f"ratio of the medians {ratio:.3f}; {cpu_s:.2f} CPU s of the page for 1,000 events")
    print("the daemon said the same" if len({d for *_, d in alone + beside}) == 1 else "DIFFERENT")


def measure_page(n: int, dimension: int) -> None:
    """First paint, the site's figures, and how long after its commit an event is on the page."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        log = stack.enter_context(closing(EmbeddedLog(folder / "log")))
        log.ensure_topics(topic_specs(Config()))
        with ReadModel(folder / "web", log.identity).writing() as connection:
            fill(connection, folder / "web", n, dimension, "people")
        where = ("--embedded", str(folder / "log"), "--state-dir", str(folder / "web"))
        command = [*COMMAND, "web", *where, "--port", "0"]
        served = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        stack.callback(served.terminate)
        assert served.stdout is not None
        address = served.stdout.readline().split()[0]
        path = shutil.which("chromium") or shutil.which("chromium-browser")
        chromium = stack.enter_context(sync_playwright()).chromium
        browser = chromium.launch(executable_path=path, args=["--no-sandbox"])
        shown = [first_view_ms(browser, address) for _ in range(_TIMES)]
        page = browser.new_context(bypass_csp=True).new_page()  # so that it can be watched
        page.goto(address)
        page.get_by_text("live", exact=True).wait_for()
        waits = [latency_ms(page, log, i, dimension) for i in range(_TIMES)]
        browser.close()
    for name, times in (
        ("first contentful paint", [paint for paint, _ in shown]),
        ("the site's figures are shown", [figures for _, figures in shown]),
        ("an event is on the page after its commit", waits),
    ):
        print(f"{name}: median {statistics.median(times):.0f} ms, worst {max(times):.0f}")


def first_view_ms(browser: Browser, address: str) -> tuple[float, float]:
    """From the start of a visit, with nothing in the browser's cache, to the first paint and to the
    site's figures."""
    page = browser.new_context().new_page()
    page.goto(address)
    page.get_by_role("heading", level=2, name="Just now").wait_for()
    figures = page.evaluate("performance.now()")
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    page.context.close()
    return paint, figures


def latency_ms(page: Page, log: EmbeddedLog, i: int, dimension: int) -> float:
    """From the commit of an event, at any time, to its line on the page."""
    time.sleep(np.random.default_rng(i).uniform(0.5, 1.5))
    log.append(seen_now(i, dimension))
    committed_ms = 1000 * time.time()
    shown = page.wait_for_function(
        f"document.querySelector('a[href*=\"id=new{i}\"]') && Date.now()"
    )
    return float(shown.json_value()) - committed_ms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--look", choices=("strangers", "people", "one"), default="people")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--beside", action="store_true")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--page", action="store_true")
    asked = parser.parse_args()
    if asked.page:
        measure_page(asked.n, asked.dimension)
        return
    if asked.beside:
        measure_beside(asked.times)
        return
    found: dict[str, tuple[float, ...]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        model = ReadModel(directory, "a log")
        with model.writing() as connection:
            fill(connection, directory, asked.n, asked.dimension, asked.look)
            began = time.perf_counter()
            vectors = VectorLibrary(directory, connection)
            found["start, until search is ready"] = (time.perf_counter() - began,)
            questions = Questions(model)
            search = Search(questions, vectors)
            began = time.perf_counter()
            search.by_sighting("site", "s7", 50)
            found["first search"] = (time.perf_counter() - began,)
            others = count(7, asked.n // 25)
            middle = f"p{asked.n // _EACH // 2}"
            infinity = float("inf")
            found |= timed({
                "search": lambda: search.by_sighting("site", f"s{next(others)}", 50),
                "every vector in full": in_full(directory, asked.n, asked.dimension),
                "site": lambda: questions.site("site", True, None),
                "48 identities": lambda: questions.identities("site", None, 0, infinity, None, 48),
                "48 identities of a camera": lambda: questions.identities(
                    "site", "c3", 0, infinity, None, 48
                ),
                "one identity": lambda: questions.identity("site", middle),
            })  # fmt: skip
            vectors.close()
    rate = events_per_s(20_000, asked.dimension)
    if asked.json:
        print(json.dumps({**found, "events a second": rate}))
        return
    table = Table("what", "median, ms", "worst, ms", "CPU, ms")
    for name, times in found.items():
        table.add_row(name, *(f"{1000 * seconds:,.1f}" for seconds in times))
    console = Console()
    console.print(f"{asked.n:,} sightings, {asked.dimension} numbers each", table)
    console.print(f"a follower takes {rate:,.0f} identity events a second, with their embeddings")


if __name__ == "__main__":
    main()
