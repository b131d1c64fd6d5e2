"""What the tests of a change of the extractor share."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

from stgal_stream.daemon import Daemon
from stgal_stream.extractor.releases import Release, Releases, sha256_of
from stgal_stream.log.port import Log, NewRecord
from stgal_stream.log.reading import values
from stgal_stream.settings import Config
from stgal_stream.streaming.extractor_rollout.state import RolloutState
from stgal_stream.wire.fields import parse_time_s
from stgal_stream.wire.rollout import Promotion, encode
from tests.support.tiny_model import tiny
from tests.support.waiting import HANG_S, live

N_PARTITIONS = 3


def released(config: Config, version: str, **how: Any) -> Releases:
    """Makes a release of a small model."""
    releases = Releases(Path(config.embed.releases))
    model = tiny(Path(config.embed.releases).parent / f"{version}.onnx", version=version, **how)
    releases.add(Release(version, sha256_of(model), "configured", "2026-01-01"), model)
    return releases


def promote(log: Log, config: Config, promotion: Promotion) -> None:
    log.append([NewRecord(config.topics.releases, b"rollout", encode(promotion))])


def back() -> Promotion:
    return Promotion("rollback", "", "", "", "", time.time())


def publish_by_camera(log: Log, config: Config, sent: list[bytes]) -> None:
    """Writes detections as cameras do: no partition is ever ahead of another by more than a few
    seconds of event time, however slow the machine is."""
    for chunk in _by_time(sent):
        records = [
            NewRecord(config.topics.detections, json.loads(v)["sensorId"].encode(), v)
            for v in chunk
        ]
        log.append(records)


def _by_time(sent: list[bytes], span_s: float = 5.0) -> Iterator[list[bytes]]:
    """Detections in order of time, cut where they span more than some seconds."""
    chunk: list[bytes] = []
    first_s = 0.0
    for value in sent:
        time_s = parse_time_s(json.loads(value)["timestamp"])
        if chunk and time_s - first_s > span_s:
            yield chunk
            chunk = []
        if not chunk:
            first_s = time_s
        chunk.append(value)
    if chunk:
        yield chunk


def everything(log: Log, topic: str) -> list[bytes]:
    return list(values(log, topic))


class Running:
    """A daemon in a thread."""

    def __init__(
        self, log: Log, config: Config, stage: str = "all", *, forever: bool = False
    ) -> None:
        self.daemon = Daemon(log, config, stage)
        self.end = threading.Event()
        end = None if forever else self.end
        self._thread = threading.Thread(
            target=lambda: self.daemon.run(end=end, serve=False), name="daemon"
        )
        self._thread.start()
        live.append(self)

    def check(self) -> None:
        """
        Raises:
            AssertionError: the daemon has failed.
        """
        assert self.daemon.failure is None, self.daemon.failure

    def finish(self) -> None:
        """Lets it read to the end."""
        self.end.set()
        self._thread.join(HANG_S)
        live.remove(self)
        assert not self._thread.is_alive()
        self.check()

    def stop(self) -> None:
        self.daemon.stop.set()
        self.finish()


def at(log: Log, config: Config) -> tuple[RolloutState, set[int]]:
    state = RolloutState()
    state.read(log, config.topics.releases)
    n = log.partitions(config.topics.detections)
    return state, {state.at(number) for number in range(n)}


def settled(log: Log, config: Config) -> bool:
    state, where = at(log, config)
    return where == {state.target}


def check_nothing_lost_doubled_or_mixed(log: Log, config: Config, sent: list[bytes]) -> int:
    """How many were late: several workers that catch up keep no common order of time."""
    identities = [json.loads(v) for v in everything(log, config.topics.identities)]
    decided = Counter(
        name
        for event in identities
        if event["type"] in ("created", "joined")
        for name in event["tracklet"]["detections"]
    )
    letters = [json.loads(v) for v in everything(log, config.topics.dead_letters)]
    assert {letter["reason"] for letter in letters} <= {"late"}
    late = Counter(letter["detection"] for letter in letters)
    assert decided + late == Counter(json.loads(value)["id"] for value in sent)
    associations = [json.loads(v) for v in everything(log, config.topics.associations)]
    for event in associations:
        assert event["query"]["extractor"] == event["gallery"]["extractor"]
    return late.total()


def shares_kept(log: Log, config: Config) -> list[float]:
    """At each change of version: the share of the identities alive before that keep their id."""
    alive: set[str] = set()
    before: set[str] = set()
    version, changed_s, shares = "", 0.0, list[float]()
    for value in everything(log, config.topics.identities):
        event = json.loads(value)
        by = event.get("evidence", {}).get("travelTimeVersion", "").rpartition("/")[0]
        by = by or event.get("tracklet", {}).get("extractor", "")
        if by and by != version:
            if version:
                changed_s, before = event["atSeconds"], set(alive)
                shares.append(1.0)
            version = by
        if event["type"] == "created":
            alive.add(event["globalId"])
        elif event["type"] == "ended":
            alive.discard(event["globalId"])
        elif event["type"] == "renamed" and event["scope"] == "identity":
            alive.discard(event["from"])
            if event["atSeconds"] == changed_s:
                shares[-1] -= 1 / len(before)
    return shares


def again(log: Log, config: Config, tmp_path: Path) -> None:
    """The associate stage once more over the same embeddings says the same."""
    other = deepcopy(config)
    for name in ("identities", "associations", "dead_letters"):
        setattr(other.topics, name, f"again-{getattr(config.topics, name)}")
    other.kafka.group_prefix = "again" + config.kafka.group_prefix
    other.daemon.state_dir = str(tmp_path / "again")
    Running(log, other, "associate").finish()
    for name in ("identities", "associations"):
        was = everything(log, getattr(config.topics, name))
        assert sorted(everything(log, getattr(other.topics, name))) == sorted(was)


class RolloutStateOf:
    """How many partitions are prepared for the target."""

    def __init__(self, log: Log, config: Config) -> None:
        state = RolloutState()
        state.read(log, config.topics.releases)
        numbers = range(log.partitions(config.topics.detections))
        self.n_prepared = sum(state.prepared(state.target, n) is not None for n in numbers)
