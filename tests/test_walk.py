"""docs/walk.md is true: every function on it is called, in its order, by one run of the product."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from stgal_stream.configuration import simulated_config
from stgal_stream.daemon import Daemon
from stgal_stream.experiments.replay import replay
from stgal_stream.experiments.sending import LogSink
from stgal_stream.experiments.simulation.site import SimulatedSite, SiteLaw
from stgal_stream.extractor.onnx import SHIPPED, OnnxExtractor
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.topics import topic_specs
from stgal_stream.retraining.data.sources import LogSource

DOCS = Path(__file__).resolve().parents[1] / "docs"


def walk() -> list[list[str]]:
    """The names of the walk, a list for each of its parts."""
    parts = (DOCS / "walk.md").read_text().split("\n## ")[1:]
    return [re.findall(r"^\d+\. `([\w.]+)`", part, re.MULTILINE) for part in parts]


def found(name: str) -> Any:
    """What a name stands for, under ``stgal_stream``."""
    words = name.split(".")
    for n in range(len(words), 0, -1):
        try:
            thing: Any = import_module("stgal_stream." + ".".join(words[:n]))
        except ModuleNotFoundError:
            continue
        for word in words[n:]:
            thing = getattr(thing, word)
        return thing
    raise ImportError(name)


@contextmanager
def first_calls(names: list[str]) -> Iterator[list[str]]:
    """The names in the order in which they were called first, in any thread."""
    wanted: dict[CodeType, str] = {found(name).__code__: name for name in names}
    called: dict[str, None] = {}

    def note(frame: FrameType, event: str, argument: object) -> None:
        name = wanted.get(frame.f_code)
        if name is not None and event == "call":
            called.setdefault(name)

    order: list[str] = []
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield order
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        order.extend(called)


def test_every_name_of_the_glossary_is_there() -> None:
    names = re.findall(r"\| `([\w.]+)` \|$", (DOCS / "glossary.md").read_text(), re.MULTILINE)
    assert len(names) > 30
    for name in names:
        assert found(name) is not None


def test_a_detection_walks_as_the_page_says(tmp_path: Path) -> None:
    parts = walk()
    assert [len(part) for part in parts] == [12, 17, 12, 6]
    config = simulated_config(tmp_path / "state")
    log = EmbeddedLog(tmp_path / "log")
    log.ensure_topics(topic_specs(config))
    site = SimulatedSite(3, SiteLaw(n_people=40, duration_s=600.0, n_zones=3))
    replay(site, LogSink(log, config.topics.detections), start_s=1.7e9)
    daemon, end = Daemon(log, config), threading.Event()
    end.set()
    source, extractor = LogSource(log, config.topics), OnnxExtractor(SHIPPED, eight_bit=False)
    with first_calls([name for part in parts for name in part]) as order:
        daemon.run(end=end, serve=False)
        data = source.read(source.until(), extractor, 1000)
    log.close()
    assert data.pairs
    for part in parts:
        missing = [name for name in part if name not in order]
        assert not missing
    # Steps without a tracklet pass some functions early; up to there the first detection leads.
    for part in (parts[0], parts[1][:8], parts[3]):
        assert [name for name in order if name in part] == part
