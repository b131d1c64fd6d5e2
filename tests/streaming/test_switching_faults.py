"""What goes wrong while a running daemon changes the extractor, and what must come of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from stgal_stream.extractor.onnx import OnnxExtractor
from stgal_stream.extractor.releases import Release, Releases, sha256_of
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.port import Log, NewRecord, Partition
from stgal_stream.log.topics import topic_specs
from stgal_stream.monitoring.metrics import Metrics
from stgal_stream.settings import Config
from stgal_stream.streaming.extractor_rollout.worker import RolloutWorker
from stgal_stream.wire.embedding import EmbeddingRecord, ReembeddedRecord, decode
from stgal_stream.wire.rollout import Prepared, Refused, Retrained, Switched, encode
from stgal_stream.wire.rollout import decode as decode_rollout
from tests.support.process import stgal
from tests.support.rollout import (
    Running,
    at,
    back,
    check_nothing_lost_doubled_or_mixed,
    everything,
    promote,
    publish_by_camera,
    released,
    settled,
)
from tests.support.streams import rendered
from tests.support.tiny_model import tiny
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.fault]


@pytest.fixture
def one(chosen: Config, tmp_path: Path) -> EmbeddedLog:
    log = EmbeddedLog(tmp_path / "log")
    log.ensure_topics(topic_specs(chosen))
    return log


def say(log: Log, config: Config, value: bytes) -> None:
    log.append([NewRecord(config.topics.releases, b"rollout", value)])


def test_promoted_with_the_first_detection(one: EmbeddedLog, chosen: Config) -> None:
    """Nothing is a tracklet yet when the site changes: all of it waits for the watermark."""
    chosen.embed.tick_after_s = 60.0
    releases = released(chosen, "better", dim=10)
    sent = rendered(n_people=14, duration_s=300.0)
    publish_by_camera(one, chosen, sent[:1])
    running = Running(one, chosen)
    embed = running.daemon.embed
    assert embed is not None
    wait_for(lambda: embed.progress == 1)
    promote(one, chosen, releases.promotion("better"))
    wait_for(lambda: settled(one, chosen))
    publish_by_camera(one, chosen, sent[1:])
    running.finish()
    assert check_nothing_lost_doubled_or_mixed(one, chosen, sent) == 0
    one.close()


def test_a_stream_at_full_speed_does_not_put_the_change_off(
    one: EmbeddedLog,
    chosen: Config,
) -> None:
    """Everything lies in the log: the window embedded again gains on what comes in meanwhile."""
    chosen.embed.batch_size = 2  # so that a look each second is often
    releases = released(chosen, "better", dim=10)
    sent = rendered(n_people=60, duration_s=900.0)
    publish_by_camera(one, chosen, sent)
    running = Running(one, chosen)
    embed = running.daemon.embed
    assert embed is not None
    wait_for(lambda: embed.progress > 0.1 * len(sent))
    promote(one, chosen, releases.promotion("better"))
    wait_for(lambda: settled(one, chosen))
    running.finish()
    said = [decode(value) for value in everything(one, chosen.topics.embeddings)]
    anew = [i for i, content in enumerate(said) if isinstance(content, ReembeddedRecord)]
    meanwhile = said[anew[0] : anew[200]]
    n_live = sum(isinstance(content, EmbeddingRecord) for content in meanwhile)
    assert n_live < 150  # as many as were embedded again, and the change would never come
    assert check_nothing_lost_doubled_or_mixed(one, chosen, sent) == 0
    one.close()


def test_taken_back_while_it_is_prepared_it_is_never_used(
    one: EmbeddedLog,
    chosen: Config,
) -> None:
    chosen.embed.batch_size = 1
    releases = released(chosen, "better", dim=10)
    sent = rendered(n_people=40, duration_s=600.0)
    publish_by_camera(one, chosen, sent)
    running = Running(one, chosen)
    embed = running.daemon.embed
    assert embed is not None
    wait_for(lambda: embed.progress == len(sent))
    promote(one, chosen, releases.promotion("better"))

    def is_preparing() -> bool:
        return any(
            isinstance(decode(value), ReembeddedRecord)
            for value in everything(one, chosen.topics.embeddings)[len(sent) :]
        )

    wait_for(is_preparing)
    promote(one, chosen, back())
    wait_for(lambda: settled(one, chosen))
    running.finish()
    said = [decode_rollout(value) for value in everything(one, chosen.topics.releases)]
    assert not [r for r in said if isinstance(r, Switched) and r.rollout == 0]
    assert check_nothing_lost_doubled_or_mixed(one, chosen, sent) == 0
    one.close()


def test_refused_after_some_have_switched_all_go_back(
    one: EmbeddedLog,
    chosen: Config,
) -> None:
    """What two workers leave behind: one has switched, the other's successor refuses."""
    sent = rendered(n_people=14, duration_s=300.0)
    releases = released(chosen, "better", dim=10)
    publish_by_camera(one, chosen, sent)
    Running(one, chosen, "embed").finish()
    end = one.bounds(chosen.topics.detections)[1]
    for record in (
        releases.promotion("better"),
        Prepared(0, 0, end),
        Switched(0, 0),
        Refused(0, "two", "gone"),
    ):
        say(one, chosen, encode(record))
    running = Running(one, chosen)
    wait_for(lambda: settled(one, chosen))
    running.finish()
    assert at(one, chosen)[1] == {-1}
    one.close()


def strange(path: Path, how: str) -> Path:
    """A model that loads and gives what no extractor gives."""
    meta = {"version": "bad", "height": "16", "width": "8", "mean": "0.5,0.5,0.5"}
    meta |= {"std": "0.25,0.25,0.25"}
    size: list[Any] = [16, 8]
    out = helper.make_tensor_value_info("features", TensorProto.FLOAT, None)
    constants = []
    nodes = [helper.make_node("ReduceSum", ["crops"], ["features"], keepdims=0)]
    if how == "words":
        word = helper.make_tensor("c", TensorProto.STRING, [1], [b"word"])
        nodes = [helper.make_node("Constant", [], ["features"], value=word)]
        out = helper.make_tensor_value_info("features", TensorProto.STRING, [1])
    elif how == "huge":
        size = ["h", "w"]
        meta |= {"height": "3000000", "width": "3000000"}
    elif how == "one number a crop":
        meta["normalize"] = "l2"
        constants = [numpy_helper.from_array(np.array([1, 2, 3], np.int64), "axes")]
        nodes = [helper.make_node("ReduceSum", ["crops", "axes"], ["features"], keepdims=0)]
    crops = helper.make_tensor_value_info("crops", TensorProto.FLOAT, ["n", 3, *size])
    graph = helper.make_graph(nodes, "strange", [crops], [out], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    helper.set_model_props(model, {f"stgal.{key}": value for key, value in meta.items()})
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("how", ["a number", "words", "huge", "one number a crop", "endless"])
def test_models_that_give_anything_are_refused(
    how: str,
    one: EmbeddedLog,
    chosen: Config,
    tmp_path: Path,
) -> None:
    path = tmp_path / "bad.onnx"
    if how == "endless":
        chosen.embed.self_test_s = 8.0
        tiny(path, node=how)
    else:
        strange(path, how)
    releases = Releases(Path(chosen.embed.releases))
    releases.add(Release("bad", sha256_of(path), "configured", "2026-01-01"), path)
    publish_by_camera(one, chosen, rendered()[:40])
    promote(one, chosen, releases.promotion("bad"))
    running = Running(one, chosen)
    running.finish()
    assert 0 in at(one, chosen)[0].refused
    # A good one makes up for it.
    chosen.embed.self_test_s = 600.0
    releases = released(chosen, "good", dim=10)
    promote(one, chosen, releases.promotion("good"))
    running = Running(one, chosen)
    running.finish()
    metrics = running.daemon.metrics.registry
    assert metrics.get_sample_value("stgal_release_refused") == 0
    in_use = {"version": OnnxExtractor(releases.model("good")).version}
    in_use["provider"] = "CPUExecutionProvider"
    assert metrics.get_sample_value("stgal_extractor_info", in_use) == 1
    assert metrics.get_sample_value("stgal_release_promoted_timestamp_seconds")
    one.close()


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"type":"promotion"}',
        b'{"type":"refused","rollout":99,"worker":"w","reason":"r"}',
        b'{"type":"switched","rollout":99,"partition":0}',
        b'{"type":"prepared","rollout":99,"partition":0,"offset":-5}',
        *(
            encode(Retrained("v", 0.0, 1.0, 3, True, gate))
            for gate in ({"baseline": 3}, {"candidate": None}, {"baseline": {"log_score": "x"}})
        ),
    ],
)
def test_what_nobody_meant_to_say_changes_nothing(
    value: bytes,
    one: EmbeddedLog,
    chosen: Config,
    tmp_path: Path,
) -> None:
    say(one, chosen, value)
    publish_by_camera(one, chosen, rendered()[:40])
    Running(one, chosen).finish()
    one.close()
    names = {f"STGAL_TOPICS_{k.upper()}": v for k, v in _topics(chosen).items()}
    listed = stgal("models", "list", "--embedded", "log", cwd=tmp_path, environ=names)
    assert "no release" in listed.stdout


def test_a_rollback_finds_the_release_where_it_was_promoted_from(
    one: EmbeddedLog,
    chosen: Config,
    tmp_path: Path,
) -> None:
    one.close()
    names = {f"STGAL_TOPICS_{k.upper()}": v for k, v in _topics(chosen).items()}
    for name in ("A", "B"):
        chosen.embed.releases = str(tmp_path / f"folder-{name}")
        released(chosen, name)
        where = ("--embedded", "log", "--releases", f"folder-{name}")
        stgal("models", "promote", name, *where, cwd=tmp_path, environ=names)
    assert "back to A" in stgal("models", "rollback", *where, cwd=tmp_path, environ=names).stdout
    log = EmbeddedLog(tmp_path / "log")
    in_use = at(log, chosen)[0].in_use
    log.close()
    assert in_use is not None
    assert in_use.folder == str(tmp_path / "folder-A")
    (tmp_path / "folder-A" / "A" / "model.onnx").write_bytes(b"damaged")
    where = ("--embedded", "log", "--releases", "folder-B")
    stgal("models", "promote", "B", *where, cwd=tmp_path, environ=names)
    refused = stgal("models", "rollback", *where, cwd=tmp_path, check=4, environ=names)
    assert "hash differs" in refused.stderr


def _topics(config: Config) -> dict[str, str]:
    topics = ("detections", "embeddings", "identities", "associations", "dead_letters", "releases")
    return {name: getattr(config.topics, name) for name in topics}


def test_a_partition_that_comes_back_is_read_from_what_the_group_committed(
    chosen: Config,
    one: EmbeddedLog,
) -> None:
    class Member:
        offset, epoch = 5, 1

        def assignment(self) -> dict[Partition, int]:
            return {Partition(chosen.topics.detections, 0): self.epoch}

        def committed(self, partition: Partition) -> int:
            return self.offset

        def beginning(self, partition: Partition) -> int:
            return 0

    model = OnnxExtractor(Path(chosen.embed.model))
    switching = RolloutWorker(
        one, chosen, model, Path("releases"), Metrics(), lambda e, p: e.embed(p)
    )
    member: Any = Member()
    switching.take_partitions(member)
    member.offset, member.epoch = 100, 3  # another worker had it in between
    switching.take_partitions(member)
    say(one, chosen, encode(back()))
    switching.poll()
    asked: list[int] = []
    member.commit = lambda records, offsets: asked.extend(
        json.loads(record.value)["offset"] for record in records
    )
    while switching.step(member) and not asked:
        pass
    assert asked == [100]
    switching.close()
    one.close()
