"""A running daemon changes the extractor: nothing lost, nothing doubled, nothing compared across
versions; what cannot be used is used by nobody."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stgal_stream.config import Config
from stgal_stream.daemon import Daemon
from stgal_stream.extractor.releases import MODEL, Release, Releases, sha256_of
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.port import Log, NewRecord
from stgal_stream.stages.rollout_state import RolloutState
from stgal_stream.wire.embedding import EmbeddingRecord, SwitchRecord, decode
from stgal_stream.wire.rollout import Promotion, encode

from ..end_to_end.streams import rendered
from ..end_to_end.test_kill import Daemon as Process
from ..extractor.tiny_model import tiny
from .conftest import N_PARTITIONS


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


def publish(log: Log, config: Config, values: list[bytes]) -> None:
    camera = [json.loads(v)["sensorId"].encode() for v in values]
    log.append(
        [NewRecord(config.topics.detections, c, v) for c, v in zip(camera, values, strict=True)]
    )


def everything(log: Log, topic: str) -> list[bytes]:
    found = []
    for partition in range(log.partitions(topic)):
        offset = 0
        while records := log.read(topic, partition, offset, 1000):
            found += [record.value for record in records]
            offset = records[-1].offset + 1
    return found


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

    def finish(self) -> None:
        self.end.set()
        self._thread.join(120)
        assert not self._thread.is_alive()
        assert self.daemon.failure is None

    def stop(self) -> None:
        self.daemon.stop.set()
        self.finish()


def wait_for(what: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


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


def test_promoted_and_rolled_back_at_full_speed(log: Log, chosen: Config, tmp_path: Path) -> None:
    sent = rendered(n_people=40, duration_s=600.0)
    log.ensure_topics(chosen.topic_specs())
    releases = released(chosen, "better", dim=32, size=(24, 12))
    first, second = int(0.6 * len(sent)), int(0.8 * len(sent))
    publish(log, chosen, sent[:first])
    running = Running(log, chosen)
    embed = running.daemon.embed
    assert embed is not None
    wait_for(lambda: embed.progress > 0.8 * first)
    promote(log, chosen, releases.promotion("better"))
    publish(log, chosen, sent[first:second])
    wait_for(lambda: settled(log, chosen))
    wait_for(lambda: embed.progress >= second)
    promote(log, chosen, back())
    publish(log, chosen, sent[second:])
    wait_for(lambda: settled(log, chosen))
    running.finish()
    assert check_nothing_lost_doubled_or_mixed(log, chosen, sent) == 0
    versions = Counter(
        content.extractor.partition("@")[0]
        for value in everything(log, chosen.topics.embeddings)
        if isinstance(content := decode(value), EmbeddingRecord)
    )
    assert set(versions) == {"configured", "better"}
    assert versions["better"] >= 0.1 * len(sent)
    assert everything(log, chosen.topics.associations)
    shares = shares_kept(log, chosen)
    assert len(shares) == 2
    assert min(shares) >= 0.95
    again(log, chosen, tmp_path)


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("corrupted", "hash"),
        ("another", "not what was promoted"),
        ("gone", "is not in"),
        ("nan", "NaN"),
        ("batch", "self-test"),
        ("size", "24 x 8"),
        ("fixed", "batches of 4 only"),
        ("misnamed", "calls itself"),
    ],
)
def test_a_release_that_cannot_be_used_is_used_by_nobody(
    what: str, reason: str, chosen: Config, tmp_path: Path
) -> None:
    log = EmbeddedLog(tmp_path / "log")
    log.ensure_topics(chosen.topic_specs())
    how: dict[str, Any] = {
        "nan": {"node": "nan"},
        "batch": {"node": "batch"},
        "fixed": {"batch": 4},
        "size": {"size": (16, 8), "meta": _meta_of_another_size()},
        "misnamed": {"meta": _meta("stranger")},
    }.get(what, {})
    releases = released(chosen, "bad", **how)
    promotion = releases.promotion("bad")
    path = releases.folder / "bad" / MODEL
    if what == "corrupted":
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    elif what == "gone":
        path.parent.rename(tmp_path / "elsewhere")
    elif what == "another":
        promotion = Promotion("promote", "bad", "bad@0", "0" * 64, promotion.folder, 0.0)
    sent = rendered()
    publish(log, chosen, sent)
    promote(log, chosen, promotion)
    running = Running(log, chosen)
    running.finish()
    state, where = at(log, chosen)
    assert where == {-1}
    assert reason in state.refused[0].reason
    metrics = running.daemon.metrics.registry
    assert metrics.get_sample_value("stgal_release_refused") == 1
    versions = {
        content.extractor.partition("@")[0]
        for value in everything(log, chosen.topics.embeddings)
        if isinstance(content := decode(value), EmbeddingRecord)
    }
    assert versions == {"configured"}
    log.close()


def _meta(version: str) -> dict[str, str]:
    return {
        "stgal.version": version,
        "stgal.height": "16",
        "stgal.width": "8",
        "stgal.mean": "0.5,0.5,0.5",
        "stgal.std": "0.25,0.25,0.25",
    }


def _meta_of_another_size() -> dict[str, str]:
    return {**_meta("bad"), "stgal.height": "24"}


def test_a_release_that_is_damaged_later_gives_way_to_the_one_before(
    chosen: Config, tmp_path: Path
) -> None:
    """The daemon starts with a window full of a release's embeddings and cannot load it."""
    log = EmbeddedLog(tmp_path / "log")
    log.ensure_topics(chosen.topic_specs())
    releases = released(chosen, "better", dim=10)
    sent = rendered(n_people=14)
    half = len(sent) // 2
    publish(log, chosen, sent[:half])
    promote(log, chosen, releases.promotion("better"))
    running = Running(log, chosen)
    embed = running.daemon.embed
    assert embed is not None
    wait_for(lambda: settled(log, chosen) and embed.progress == half)
    running.stop()
    assert at(log, chosen)[1] == {0}
    (releases.folder / "better" / MODEL).write_bytes(b"damaged")
    publish(log, chosen, sent[half:])
    Running(log, chosen).finish()
    state, where = at(log, chosen)
    assert where == {-1}
    assert "hash" in state.refused[0].reason
    identities = [json.loads(v) for v in everything(log, chosen.topics.identities)]
    decided = [n for e in identities if "tracklet" in e for n in e["tracklet"]["detections"]]
    assert {json.loads(v)["id"] for v in sent} == set(decided)
    log.close()


@pytest.fixture
def members(broker: str, chosen: Config) -> Iterator[list[Log]]:
    """One log for each of several members of a group."""
    from stgal_stream.log.kafka import KafkaLog

    names = [f"{chosen.kafka.group_prefix}-{name}" for name in ("one", "two", "site")]
    logs: list[Log] = [KafkaLog([broker], instance=name) for name in names]
    logs[0].ensure_topics(chosen.topic_specs())
    yield logs
    for log in logs:
        log.close()


@pytest.mark.kafka
def test_a_worker_that_joins_during_a_backlog_loses_and_doubles_nothing(
    members: list[Log], chosen: Config
) -> None:
    """What the first had read of partitions that stay with it, and not embedded yet, it reads
    again."""
    bodies = [json.loads(value) for value in rendered(n_people=20, duration_s=400.0)]
    sent: list[bytes] = []

    def send_more() -> None:
        more = [json.dumps({**b, "id": f"{len(sent)}-{n}"}).encode() for n, b in enumerate(bodies)]
        publish(members[2], chosen, more)
        sent.extend(more)

    send_more()
    workers = [Running(members[0], chosen, "embed", forever=True)]
    wait_for(lambda: bool(everything(members[2], chosen.topics.embeddings)))
    workers.append(Running(members[1], chosen, "embed", forever=True))
    stages = [worker.daemon.embed for worker in workers if worker.daemon.embed is not None]

    def both_at_work() -> bool:
        if stages[0].progress > len(sent) - len(bodies):  # the backlog lasts until both are there
            send_more()
        return stages[1].progress > 0

    wait_for(both_at_work)
    send_more()
    wait_for(lambda: sum(stage.progress for stage in stages) >= len(sent))
    wait_for(lambda: all(stage.caught_up for stage in stages))
    for worker in workers:
        worker.stop()
    records = map(decode, everything(members[2], chosen.topics.embeddings))
    found = Counter(record.id for record in records if isinstance(record, EmbeddingRecord))
    assert found == Counter(json.loads(value)["id"] for value in sent)


@pytest.mark.kafka
def test_a_worker_that_can_embed_nothing_takes_over_from_one_that_is_gone(
    members: list[Log], chosen: Config
) -> None:
    """Both ran a release that is damaged now; one comes back. It waits for all partitions, so it
    must hear that those of the other are its own."""
    sent = rendered(n_people=10, duration_s=200.0)
    releases = released(chosen, "worn", dim=10)
    workers = [Running(log, chosen, "embed", forever=True) for log in members[:2]]
    stages = [worker.daemon.embed for worker in workers]
    wait_for(lambda: all(stage is not None and stage._held for stage in stages))
    publish(members[2], chosen, sent)
    promote(members[2], chosen, releases.promotion("worn"))
    wait_for(lambda: settled(members[2], chosen))
    for worker in workers:
        worker.stop()
    (releases.folder / "worn" / MODEL).write_bytes(b"damaged")
    alone = Running(members[0], chosen, "embed", forever=True)
    wait_for(lambda: bool(at(members[2], chosen)[0].refused))
    wait_for(lambda: settled(members[2], chosen))
    alone.stop()


@pytest.mark.kafka
def test_a_worker_that_dies_in_between_changes_nothing(members: list[Log], chosen: Config) -> None:
    """Two embed workers; one goes when its partitions have switched or are about to."""
    logs = members
    sent = rendered(n_people=14, duration_s=300.0)
    half = len(sent) // 2
    releases = released(chosen, "better", dim=10)
    publish(logs[0], chosen, sent[:half])
    site = Running(logs[2], chosen, "associate", forever=True)
    workers = [Running(log, chosen, "embed") for log in logs[:2]]
    stages = [worker.daemon.embed for worker in workers]
    wait_for(lambda: sum(stage.progress for stage in stages if stage) >= half)
    promote(logs[2], chosen, releases.promotion("better"))
    wait_for(lambda: RolloutStateOf(logs[2], chosen).n_prepared > 0)
    workers[1].stop()
    publish(logs[2], chosen, sent[half:])
    wait_for(lambda: settled(logs[2], chosen))
    workers[0].finish()
    associate = site.daemon.associate
    assert associate is not None
    n = len(everything(logs[2], chosen.topics.embeddings))
    wait_for(lambda: associate.progress >= n)
    site.stop()
    check_nothing_lost_doubled_or_mixed(logs[2], chosen, sent)
    markers = [
        content
        for value in everything(logs[2], chosen.topics.embeddings)
        if isinstance(content := decode(value), SwitchRecord)
    ]
    assert {n for marker in markers for n in marker.partitions} == set(range(N_PARTITIONS))


class RolloutStateOf:
    """How many partitions are prepared for the target."""

    def __init__(self, log: Log, config: Config) -> None:
        state = RolloutState()
        state.read(log, config.topics.releases)
        numbers = range(log.partitions(config.topics.detections))
        self.n_prepared = sum(state.prepared(state.target, n) is not None for n in numbers)


@pytest.mark.parametrize("kind", ["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def test_killed_while_it_changes_it_recovers(
    kind: str, chosen: Config, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """SIGKILL in the middle of embedding anew and of the change: what is said is said once."""
    chosen.embed.batch_size = 4
    chosen.daemon.snapshot_every_s = 0.3
    if kind == "embedded":
        log: Log = EmbeddedLog(tmp_path / "log")
        where = ["--embedded", str(tmp_path / "log")]
    else:
        from stgal_stream.log.kafka import KafkaLog

        broker = request.getfixturevalue("broker")
        chosen.kafka.instance = chosen.kafka.group_prefix
        log, where = KafkaLog([broker]), ["--brokers", broker]
    log.ensure_topics(chosen.topic_specs())
    releases = released(chosen, "better", dim=10)
    sent = rendered(n_people=14, duration_s=300.0)
    publish(log, chosen, sent)
    process = Process(where, chosen, tmp_path)
    process.start()
    wait_for(lambda: len(everything(log, chosen.topics.embeddings)) > len(sent) // 2)
    promote(log, chosen, releases.promotion("better"))
    process.kill()
    rng = np.random.default_rng(7)

    def went_on(seen: int) -> bool:
        return len(everything(log, chosen.topics.embeddings)) > seen or not process.is_running

    for _ in range(8):
        seen = len(everything(log, chosen.topics.embeddings))
        process.start()
        wait_for(partial(went_on, seen))
        time.sleep(float(rng.uniform(0, 0.2)))
        process.kill()
    process.start()
    process.finish()
    assert settled(log, chosen)
    assert check_nothing_lost_doubled_or_mixed(log, chosen, sent) == 0
    again(log, chosen, tmp_path)
    log.close()
