"""A small site with pictures that went through the daemon, and its page."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from stgal_stream.configuration import load_config
from stgal_stream.extractor.releases import Releases
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.settings import Config
from stgal_stream.web.access import Access, AuditLog
from stgal_stream.web.api import Site
from stgal_stream.web.application import application
from stgal_stream.web.corrections import Corrections
from stgal_stream.web.follower import Follower
from stgal_stream.web.live import Live
from stgal_stream.web.pictures import Crops, Embedder
from stgal_stream.web.questions import Questions
from stgal_stream.web.read_model import ReadModel
from stgal_stream.web.rollouts import Rollouts
from stgal_stream.web.search import Search
from tests.support.streams import publish, rendered, run_to_end
from tests.support.waiting import wait_for

SITE = "rendered"


@dataclass
class Seen:
    """A log in which people were seen, and where it lies."""

    log: EmbeddedLog
    config: Config
    folder: Path


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    folder = tmp_path_factory.mktemp("site")
    config = load_config(None, {})
    config.input.max_future_s = float("inf")
    config.daemon.state_dir = str(folder / "state")
    log = EmbeddedLog(folder / "log")
    publish(log, config, [*rendered(5, n_people=14, duration_s=420.0), b"no JSON"])
    run_to_end(log, config)
    yield Seen(log, config, folder)
    log.close()


@dataclass
class Web:
    """A page that has read the log to its end, without a socket."""

    model: ReadModel
    follower: Follower
    questions: Questions
    client: TestClient
    audit: Path


def web_of(
    seen: Seen, folder: Path, token: str | None = None, viewer: str | None = None
) -> Iterator[Web]:
    """The page on a read model of its own."""
    model = ReadModel(folder / "web", seen.log.identity)
    questions = Questions(model)
    live = Live(questions)
    follower = Follower(seen.log, seen.config.topics, model, live.wake)
    stop = threading.Event()
    thread = threading.Thread(target=follower.run, args=(stop,))
    thread.start()
    wait_for(lambda: follower.caught_up.is_set() or not thread.is_alive(), "the end of the log")
    assert follower.vectors is not None
    audit = AuditLog(folder / "audit.jsonl")
    search = Search(questions, follower.vectors)
    site = Site(
        questions,
        lambda: search,
        Crops(seen.log),
        Embedder(seen.log, seen.config, folder / "releases"),
        live,
        Rollouts(seen.log, seen.config.topics.releases, Releases(folder / "releases")),
        Corrections(seen.log, seen.config.topics, model, questions),
        lambda: (follower.caught_up.is_set(), follower.trouble),
        2_000_000,
    )
    access = Access.on("127.0.0.1", token, viewer)
    # Schemathesis asks by a name of its own.
    access = replace(access, hosts=access.hosts | {"testserver"})
    app = application(site, access, audit, "1")
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield Web(model, follower, questions, client, folder / "audit.jsonl")
    stop.set()
    live.stop()
    thread.join()
    audit.close()


@pytest.fixture(scope="module")
def web(seen: Seen, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    yield from web_of(seen, tmp_path_factory.mktemp("web"))
