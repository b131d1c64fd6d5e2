"""The composition root: stages in threads, metrics, orderly start and stop."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

from threadpoolctl import threadpool_limits

from stgal_stream.bridge.http_source import PATH, HttpSource
from stgal_stream.errors import ConfigError, DamagedLogError, LogError, PermanentLogError
from stgal_stream.extractor.onnx import SHIPPED, OnnxExtractor
from stgal_stream.log.backoff import backoff_s
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.port import Log
from stgal_stream.log.topics import topic_specs
from stgal_stream.monitoring.metrics import Metrics
from stgal_stream.monitoring.server import MonitoringServer, Posts
from stgal_stream.settings import HTTP_TOKEN, Config
from stgal_stream.streaming.associate_stage import AssociateStage
from stgal_stream.streaming.embed_stage import EmbedStage

logger = logging.getLogger(__name__)

# So often a file may look damaged that a disk only could not read: for 8.5 s at least.
_MOST_DAMAGED = 5


def open_log(config: Config, *, brokers: Sequence[str] = (), embedded: Path | None = None) -> Log:
    """The log that the operator named.

    Raises:
        ConfigError: none or both are named.
        LogError: it cannot be opened.
    """
    brokers = list(brokers) or ([] if embedded else config.kafka.brokers)
    if bool(brokers) == bool(embedded):
        raise ConfigError(
            "name one log: --brokers HOST:PORT[,…] or --embedded DIR",
            hint="--embedded DIR needs no broker",
        )
    if embedded is not None:
        return EmbeddedLog(embedded)
    from stgal_stream.log.kafka import KafkaLog

    return KafkaLog(
        brokers,
        security=config.kafka.security,
        instance=config.kafka.instance,
        connect_timeout_s=config.kafka.connect_timeout_s,
        erasable=config.topics.erasable,
    )


def make_missing_topics(log: Log, config: Config) -> None:
    """For commands beside a daemon: what is there, above all its retention, is the daemon's."""
    log.ensure_topics(spec for spec in topic_specs(config) if not log.partitions(spec.name))


class Daemon:
    """Stages of one process on one log. ``stage`` is ``embed``, ``associate`` or ``all``."""

    def __init__(self, log: Log, config: Config, stage: str = "all") -> None:
        self.log = log
        self.config = config
        self.metrics = Metrics()
        self.stop = threading.Event()
        self.failure: BaseException | None = None
        self.embed: EmbedStage | None = None
        self.associate: AssociateStage | None = None
        self.finished = False
        self._embedded = threading.Event()
        self._waiting: set[str] = set()
        self._threads: list[threading.Thread] = []
        for note in log.ensure_topics(topic_specs(config)):
            logger.warning("%s (stgal-stream topics tells more)", note)
        if stage in ("embed", "all"):
            embed = config.embed
            model = Path(embed.model) if embed.model else SHIPPED
            extractor = OnnxExtractor(model, **embed.loading)
            embedded = log.directory if isinstance(log, EmbeddedLog) else None
            releases = config.releases_folder(embedded)
            self.embed = EmbedStage(log, config, extractor, self.metrics, releases)
        if stage in ("associate", "all"):
            self.associate = AssociateStage(log, config, self.metrics)
            self.metrics.watch_snapshots()

    def run(
        self,
        *,
        end: threading.Event | None = None,
        serve: bool = True,
        on_progress: Callable[[], None] | None = None,
    ) -> None:
        """Runs until ``stop`` is set or, once ``end`` is set, until the log is read to its end.

        Raises:
            StgalError: whatever ended a stage that could not be restarted.
        """
        config = self.config.daemon
        server = None
        if serve:
            server = MonitoringServer(
                config.http_host,
                config.http_port,
                self.metrics,
                self._healthy,
                self._ready,
                self._posts(),
            )
            logger.info("metrics at http://%s:%d/metrics", config.http_host, server.port)
        try:
            # Matrix products on one thread: their last bits, and so the output, do not depend on
            # how many cores there are, and no thread spins on a core that the network could use.
            with threadpool_limits(1, user_api="blas"):
                self._work(end, on_progress)
            self.finished = not self.stop.is_set()
        finally:
            self.stop.set()
            for thread in self._threads:
                thread.join()
            if server is not None:
                server.close()
        if self.failure is not None:
            raise self.failure

    def _work(self, end: threading.Event | None, on_progress: Callable[[], None] | None) -> None:
        self._start(end)
        while any(thread.is_alive() for thread in self._threads):
            for thread in self._threads:
                thread.join(0.1)
            if on_progress is not None:
                on_progress()

    def _start(self, end: threading.Event | None) -> None:
        if self.embed is not None:
            embed = self.embed
            self._spawn("embed", lambda: embed.run(self.stop, end))
        else:
            self._embedded.set()
        if self.associate is not None:
            associate, until = self.associate, None if end is None else self._embedded
            self._spawn("associate", lambda: associate.run(self.stop, until))

    def _spawn(self, name: str, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=self._keep_running, args=(name, run), name=name)
        self._threads.append(thread)
        thread.start()

    def _keep_running(self, name: str, run: Callable[[], None]) -> None:
        """Runs a stage; after a fault of the log it restarts from what is committed."""
        n_damaged = 0
        for attempt in count():
            try:
                run()
                if name == "embed":
                    self._embedded.set()
                return
            except LogError as error:
                n_damaged += isinstance(error, DamagedLogError)
                if isinstance(error, PermanentLogError) or n_damaged == _MOST_DAMAGED:
                    self._fail(error)
                    return
                wait_s = backoff_s(attempt)
                todo = f" ({error.hint})" if error.hint else ""
                logger.error("stage %s: %s%s; it restarts in %.1f s", name, error, todo, wait_s)
                self.metrics.restarts.labels(name).inc()
                self._waiting.add(name)
                if self.stop.wait(wait_s):
                    return
                self._waiting.discard(name)
            except BaseException as error:
                logger.exception("stage %s failed", name)
                self._fail(error)
                return

    def _fail(self, error: BaseException) -> None:
        self.failure = self.failure or error
        self.stop.set()

    def _posts(self) -> dict[str, Posts]:
        """What is taken by HTTP, as configured."""
        config = self.config
        if not config.daemon.http_detections:
            return {}
        host, token = config.daemon.http_host, os.environ.get(HTTP_TOKEN)
        topic = config.topics.detections
        return {PATH: HttpSource(self.log, topic, config.input, host, token)}

    def _healthy(self) -> tuple[bool, str]:
        if self.failure is not None:
            return False, f"failed: {self.failure}"
        return True, "ok"

    def _ready(self) -> tuple[bool, str]:
        if self.failure is not None or self.stop.is_set():
            return False, "stopping"
        if self._waiting:
            return False, f"the log cannot be used: {', '.join(sorted(self._waiting))} waits"
        return True, "ok"
