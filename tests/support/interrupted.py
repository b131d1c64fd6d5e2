"""A daemon that is disturbed, beside one that is not: what both are given, and what they said."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import asdict, replace
from pathlib import Path

from kafka import KafkaConsumer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from stgal_stream.configuration import load_config
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.kafka import KafkaLog
from stgal_stream.log.port import Log
from stgal_stream.settings import Config
from tests.support.process import Daemon
from tests.support.programs import free_port
from tests.support.streams import embedded_upstream, publish, rendered, results
from tests.support.walk import simulated_walk


def stream() -> list[bytes]:
    """A site that brings its own vectors and one that brings crops, interleaved, with records that
    cannot be used among them."""
    upstream = [embedded_upstream(d) for d in simulated_walk(5, n_people=120, tracked=False)]
    crops = rendered()
    every = max(1, len(upstream) // len(crops))
    mixed: list[bytes] = []
    for i, value in enumerate(upstream):
        mixed.append(value)
        if i % every == 0 and i // every < len(crops):
            mixed.append(crops[i // every])
        if i % 97 == 0:
            mixed.append(b"this is not JSON")
        if i % 131 == 0:
            mixed.append(value)
    return mixed


class Run:
    """A daemon as its own process on a log of its own, which holds the whole stream. ``name`` tells
    its topics from those of the other run on one broker; ``broker`` is where the test looks,
    ``seen_at`` where the daemon finds it, if elsewhere."""

    def __init__(
        self,
        name: str,
        folder: Path,
        config: Config,
        broker: str | None = None,
        seen_at: str | None = None,
        *,
        forever: bool = False,
    ) -> None:
        self.name = name
        self.folder = folder / name
        self.folder.mkdir()
        self.config = self._configured(config)
        self._broker = broker
        self._probe: KafkaConsumer | None = None
        if broker is None:
            self.log: Log = EmbeddedLog(self.folder / "log")
            where = ["--embedded", str(self.folder / "log")]
        else:
            # The same names for what is compared: positions carry the topic's name.
            for topic in asdict(self.config.topics):
                if not topic.startswith("retention"):
                    theirs = getattr(config.topics, topic)
                    setattr(self.config.topics, topic, f"{name}{theirs[4:]}")
            self.config.kafka.group_prefix = name + config.kafka.group_prefix
            self.config.kafka.instance = name + config.kafka.group_prefix
            self.log = KafkaLog([broker])
            where = ["--brokers", seen_at or broker]
        publish(self.log, self.config, stream())
        self.daemon = Daemon(where, self.config, self.folder, forever=forever)

    def _configured(self, config: Config) -> Config:
        made = load_config(None, {})
        made.topics, made.kafka = replace(config.topics), replace(config.kafka)
        made.embed.batch_size = 8
        made.daemon.snapshot_every_s = 0.3
        made.daemon.state_dir = str(self.folder / "state")
        made.daemon.http_port = free_port()
        made.associate = replace(made.associate, first_calibration=40, window_s=300.0)
        made.input.max_future_s = 1e12
        return made

    @property
    def progress(self) -> int:
        """How many records lie in the topics that the daemon writes (an upper bound will do)."""
        topics = (self.config.topics.embeddings, self.config.topics.identities)
        if isinstance(self.log, EmbeddedLog):
            return sum(self.log.bounds(topic)[1] for topic in topics)
        if self._probe is None:
            self._probe = KafkaConsumer(bootstrap_servers=self._broker)
        at = [TopicPartition(topic, 0) for topic in topics]
        return sum(self._probe.end_offsets(at).values())

    def leave(self) -> None:
        """Lets go of the log: a client whose broker is gone leaves sockets behind."""
        self.log.close()

    def come_back(self) -> None:
        """Opens the log again."""
        assert self._broker is not None
        self.log = KafkaLog([self._broker])

    @property
    def n_events(self) -> float:
        """How many identity events the daemon has committed since it was started, by its own word;
        0 while it does not answer."""
        url = f"http://127.0.0.1:{self.config.daemon.http_port}/metrics"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                text = answer.read().decode()
        except OSError:
            return 0.0
        families = text_string_to_metric_families(text)
        events = (f for f in families if f.name == "stgal_identity_events")
        totals = (s.value for f in events for s in f.samples if s.name.endswith("_total"))
        return float(sum(totals))

    def said(self) -> dict[str, list[bytes]]:
        """All that the daemon said; closes the log."""
        found = results(self.log, self.config)
        if self._probe is not None:
            self._probe.close()
        self.log.close()
        return {topic: [self._named(v) for v in values] for topic, values in found.items()}

    def _named(self, value: bytes) -> bytes:
        """Topic names differ between two runs on one broker; event ids follow from them."""
        content = json.loads(value)
        content.pop("eventId", None)
        return json.dumps(content).replace(f'"{self.name}', '"').encode()


def undisturbed(run: Run) -> tuple[int, dict[str, list[bytes]]]:
    """How far a run without a fault comes, and what it says."""
    run.daemon.start()
    run.daemon.finish()
    return run.progress, run.said()


def assert_same(disturbed: dict[str, list[bytes]], whole: dict[str, list[bytes]]) -> None:
    """Byte for byte."""
    assert len(whole["identities"]) > 200
    assert len(whole["associations"]) > 200
    assert len(whole["dead_letters"]) > 10
    # The two stages share this topic; within each, and within a site, the order is the same.
    assert sorted(disturbed["dead_letters"]) == sorted(whole["dead_letters"])
    assert disturbed["identities"] == whole["identities"]
    assert disturbed["associations"] == whole["associations"]
