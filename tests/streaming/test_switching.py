"""A running daemon changes the extractor: nothing lost, nothing doubled, nothing compared across
versions; what cannot be used is used by nobody."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stgal_stream.extractor.releases import MODEL
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.port import Log
from stgal_stream.log.topics import topic_specs
from stgal_stream.settings import Config
from stgal_stream.wire.embedding import EmbeddingRecord, SwitchRecord, decode
from stgal_stream.wire.rollout import Promotion
from tests.support.process import Daemon as Process
from tests.support.rollout import (
    N_PARTITIONS,
    RolloutStateOf,
    Running,
    again,
    at,
    back,
    check_nothing_lost_doubled_or_mixed,
    everything,
    promote,
    publish_by_camera,
    released,
    settled,
    shares_kept,
)
from tests.support.streams import rendered
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow


def test_promoted_and_rolled_back_at_full_speed(log: Log, chosen: Config, tmp_path: Path) -> None:
    sent = rendered(n_people=40, duration_s=600.0)
    log.ensure_topics(topic_specs(chosen))
    releases = released(chosen, "better", dim=32, size=(24, 12))
    # While each change is under way detections come, and after it too: how many of the former see
    # the new version is a matter of the machine, all of the latter do.
    cuts = [int(share * len(sent)) for share in (0.5, 0.6, 0.75, 0.85, 1.0)]
    publish_by_camera(log, chosen, sent[: cuts[0]])
    running = Running(log, chosen)
    embed = running.daemon.embed
    assert embed is not None

    def embed_reached(n: float) -> bool:
        return embed.progress >= n

    wait_for(partial(embed_reached, 0.8 * cuts[0]))
    for promotion, (begin, middle, end) in (
        (releases.promotion("better"), cuts[0:3]),
        (back(), cuts[2:5]),
    ):
        promote(log, chosen, promotion)
        publish_by_camera(log, chosen, sent[begin:middle])
        wait_for(lambda: settled(log, chosen))
        publish_by_camera(log, chosen, sent[middle:end])
        wait_for(partial(embed_reached, end))
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
        ("none", "does not say how"),
        ("misnamed", "calls itself"),
    ],
)
def test_a_release_that_cannot_be_used_is_used_by_nobody(
    what: str, reason: str, chosen: Config, tmp_path: Path
) -> None:
    log = EmbeddedLog(tmp_path / "log")
    log.ensure_topics(topic_specs(chosen))
    ways: dict[str, dict[str, Any]] = {
        "nan": {"node": "nan"},
        "batch": {"node": "batch"},
        "none": {"meta": {}},
        "size": {"size": (16, 8), "meta": _meta_of_another_size()},
        "misnamed": {"meta": _meta("stranger")},
    }
    how = ways.get(what, {})
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
    publish_by_camera(log, chosen, sent)
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


@pytest.mark.fault
def test_a_release_that_is_damaged_later_gives_way_to_the_one_before(
    chosen: Config, tmp_path: Path
) -> None:
    """The daemon starts with a window full of a release's embeddings and cannot load it."""
    log = EmbeddedLog(tmp_path / "log")
    log.ensure_topics(topic_specs(chosen))
    releases = released(chosen, "better", dim=10)
    sent = rendered(n_people=14)
    half = len(sent) // 2
    publish_by_camera(log, chosen, sent[:half])
    promote(log, chosen, releases.promotion("better"))
    running = Running(log, chosen)
    embed = running.daemon.embed
    assert embed is not None
    wait_for(lambda: settled(log, chosen) and embed.progress == half)
    running.stop()
    assert at(log, chosen)[1] == {0}
    (releases.folder / "better" / MODEL).write_bytes(b"damaged")
    publish_by_camera(log, chosen, sent[half:])
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
    logs[0].ensure_topics(topic_specs(chosen))
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
    for n, body in enumerate(bodies):  # so many cameras that every partition has some
        body["sensorId"] += f"-{n % 7}"
    sent: list[bytes] = []

    def send_more() -> None:
        more = [json.dumps({**b, "id": f"{len(sent)}-{n}"}).encode() for n, b in enumerate(bodies)]
        publish_by_camera(members[2], chosen, more)
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
@pytest.mark.fault
def test_a_worker_that_can_embed_nothing_takes_over_from_one_that_is_gone(
    members: list[Log], chosen: Config
) -> None:
    """Both ran a release that is damaged now; one comes back. It waits for all partitions, so it
    must hear that those of the other are its own."""
    sent = rendered(n_people=10, duration_s=200.0)
    releases = released(chosen, "worn", dim=10)
    workers = [Running(log, chosen, "embed", forever=True) for log in members[:2]]
    stages = [worker.daemon.embed for worker in workers]
    wait_for(lambda: all(stage is not None and stage.partitions for stage in stages))
    publish_by_camera(members[2], chosen, sent)
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
@pytest.mark.fault
def test_a_worker_that_dies_in_between_changes_nothing(members: list[Log], chosen: Config) -> None:
    """Two embed workers; one goes when its partitions have switched or are about to."""
    logs = members
    sent = rendered(n_people=14, duration_s=300.0)
    half = len(sent) // 2
    releases = released(chosen, "better", dim=10)
    publish_by_camera(logs[0], chosen, sent[:half])
    site = Running(logs[2], chosen, "associate", forever=True)
    workers = [Running(log, chosen, "embed") for log in logs[:2]]
    stages = [worker.daemon.embed for worker in workers]
    wait_for(lambda: sum(stage.progress for stage in stages if stage) >= half)
    promote(logs[2], chosen, releases.promotion("better"))
    wait_for(lambda: RolloutStateOf(logs[2], chosen).n_prepared > 0)
    workers[1].stop()
    publish_by_camera(logs[2], chosen, sent[half:])
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


@pytest.mark.parametrize("kind", ["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
@pytest.mark.fault
def test_killed_while_it_changes_it_recovers(
    kind: str, chosen: Config, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """SIGKILL in the middle of embedding again and of the change: what is said is said once."""
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
    log.ensure_topics(topic_specs(chosen))
    releases = released(chosen, "better", dim=10)
    sent = rendered(n_people=14, duration_s=300.0)
    publish_by_camera(log, chosen, sent)
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
