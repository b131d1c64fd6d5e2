"""The web process: follows the log, answers requests, until it is told to stop."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import uvicorn

from stgal_stream.errors import ConfigError
from stgal_stream.extractor.releases import Releases
from stgal_stream.log.port import Log
from stgal_stream.settings import Config
from stgal_stream.web.access import Access, AuditLog
from stgal_stream.web.api import Site
from stgal_stream.web.application import application
from stgal_stream.web.corrections import Corrections
from stgal_stream.web.follower import Follower
from stgal_stream.web.live import Live
from stgal_stream.web.pictures import Crops, Embedder
from stgal_stream.web.questions import Questions
from stgal_stream.web.read_model import ReadModel, source_of
from stgal_stream.web.rollouts import Rollouts
from stgal_stream.web.search import Search

logger = logging.getLogger(__name__)

_STOP_S = 3


class WebServer:
    """Serves one log. ``directory`` is the read model's.

    Raises:
        ConfigError: the address is taken or not this machine's.
        DataError: the directory cannot be used.
    """

    def __init__(
        self,
        log: Log,
        config: Config,
        directory: Path,
        releases: Path,
        address: tuple[str, int],
        access: Access,
        version: str,
    ) -> None:
        self._socket = _listening(*address)
        host, self.port = self._socket.getsockname()[:2]
        self.address = f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"
        model = ReadModel(directory, source_of(log, config.topics))
        self._audit = AuditLog(directory / "audit.jsonl")
        questions = Questions(model)
        self._live = Live(questions)
        self._follower = Follower(log, config.topics, model, self._live.wake)
        self._questions = questions
        self._search: Search | None = None
        self._failed: BaseException | None = None
        site = Site(
            questions,
            self._searcher,
            Crops(log),
            Embedder(log, config, releases),
            self._live,
            Rollouts(log, config.topics.releases, Releases(releases)),
            Corrections(log, config.topics, model, questions),
            self._state,
            config.embed.max_crop_bytes,
        )
        settings = uvicorn.Config(
            application(site, access, self._audit, version),
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_STOP_S,
            lifespan="off",
        )
        self._server = uvicorn.Server(settings)

    def run(self, stop: threading.Event, on_ready: Callable[[], None]) -> None:
        """Serves until ``stop`` is set."""
        follower = threading.Thread(target=self._follow, args=(stop,), name="follower")
        server = threading.Thread(target=self._serve, name="http")
        follower.start()
        server.start()
        on_ready()
        try:
            while not stop.wait(0.5) and server.is_alive() and follower.is_alive():
                pass
        finally:
            stop.set()
            self._live.stop()
            self._server.should_exit = True
            server.join()
            follower.join()
            self._audit.close()
            self._socket.close()
        if self._failed is not None:
            raise self._failed

    def _follow(self, stop: threading.Event) -> None:
        try:
            self._follower.run(stop)
        except BaseException as error:
            self._failed = error
            stop.set()

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])

    def _searcher(self) -> Search | None:
        if self._search is None and self._follower.vectors is not None:
            self._search = Search(self._questions, self._follower.vectors)
        return self._search

    def _state(self) -> tuple[bool, str | None]:
        return self._follower.caught_up.is_set(), self._follower.trouble


def _listening(host: str, port: int) -> socket.socket:
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, proto)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen()  # who comes before the server has started waits
    except OSError as error:
        raise ConfigError(
            f"the page cannot be served on {host}:{port}: {error.strerror}",
            hint="choose another --host or --port",
        ) from error
    return made
