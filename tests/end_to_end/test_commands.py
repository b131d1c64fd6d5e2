"""The command line as a user meets it: files, faults, signals, and a real broker."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import uuid
from pathlib import Path

import numpy
import pytest

from stgal_stream.core.tracker.site_tracker import SiteTracker
from stgal_stream.core.tracker.snapshot import snapshot
from stgal_stream.log.port import Partition
from stgal_stream.settings import TrackerSettings
from stgal_stream.streaming.extractor_rollout.marker import MarkerState
from stgal_stream.streaming.snapshots import Snapshot, SnapshotStore
from tests.support.places import TOPICS
from tests.support.process import COMMAND, stgal
from tests.support.streams import embedded_upstream, values
from tests.support.waiting import HANG_S
from tests.support.walk import simulated_walk


def test_a_file_from_end_to_end_in_any_order(tmp_path: Path) -> None:
    walk = simulated_walk(4, n_people=40)
    lines = [embedded_upstream(d) for d in walk]
    by_camera = sorted(range(len(lines)), key=lambda i: walk[i].camera)
    (tmp_path / "in.jsonl").write_bytes(
        b"\n".join([lines[i] for i in by_camera] + [b"", b"nonsense", lines[0]])
    )
    done = stgal(
        "run", "--from", "in.jsonl", "--to", "out.jsonl", "--mapping", "m.csv",
        "--dead-letters", "dead.jsonl", cwd=tmp_path,
    )  # fmt: skip
    assert "1 duplicate_id" in done.stderr
    assert "1 not_json" in done.stderr
    with (tmp_path / "m.csv").open() as out:
        rows = list(csv.DictReader(out))
    assert {row["detection_id"] for row in rows} == {d.id for d in walk}
    assert len(rows) == len(walk)
    events = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert {"created", "joined"} <= {event["type"] for event in events}
    times = {d.id: d.time_s for d in walk}
    assert all(float(row["decided_at_s"]) > times[row["detection_id"]] for row in rows)
    assert len((tmp_path / "dead.jsonl").read_text().splitlines()) == 2


def test_a_replay_to_a_file_runs(tmp_path: Path) -> None:
    said = stgal(
        "replay", "site", "--people", "4", "--minutes", "2", "--to", "d.jsonl", "--truth", "t.csv",
        cwd=tmp_path,
    ).stderr  # fmt: skip
    assert "4 people" in said
    stgal("run", "--from", "d.jsonl", "--to", "i.jsonl", "--mapping", "m.csv", cwd=tmp_path)
    n = len((tmp_path / "d.jsonl").read_text().splitlines())
    assert len((tmp_path / "m.csv").read_text().splitlines()) == n + 1
    assert len((tmp_path / "t.csv").read_text().splitlines()) == n + 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run"], 2, "name one log"),
        (["run", "--brokers", "a:b"], 2, "no broker address"),
        (["run", "--brokers", "127.0.0.1:1", "--embedded", "x"], 2, "name one log"),
        (["run", "--from", "absent", "--to", "x"], 2, "cannot be read"),
        (["run", "--from", "empty", "--to", "x"], 2, "holds no detection"),
        (["run", "--from", "empty"], 2, "--from needs --to"),
        (["run", "--to", "x", "--embedded", "l"], 2, "go with --from"),
        (["run", "--from", "empty", "--to", "no/such/dir"], 2, "not a directory"),
        (["run", "--embedded", "l", "--model", "absent.onnx"], 4, "no model at"),
        (["run", "--embedded", "empty"], 3, "cannot be used as an embedded log"),
        (["run", "--embeded", "l"], 2, "'--embedded'"),
        (["replay", "market1501", "--root", "absent", "--to", "x"], 2, "not a directory"),
        (["replay", "site", "--start", "soon", "--to", "x"], 2, "RFC 3339"),
        (["check-config", "absent"], 2, "cannot be read"),
        (["export", "--weights", "absent.pth", "--out", "x"], 4, "no weights"),
        (["demo", "--out", "."], 2, "something else than a demo"),
    ],
)
def test_faults_end_in_a_sentence_that_helps(
    tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    (tmp_path / "empty").write_text("\n\n")
    done = stgal(*arguments, cwd=tmp_path, check=code)
    assert message in done.stderr


def test_no_broker_is_told(tmp_path: Path) -> None:
    done = stgal(
        "run",
        "--brokers",
        "127.0.0.1:1",
        cwd=tmp_path,
        check=3,
        environ={"STGAL_KAFKA_CONNECT_TIMEOUT_S": "1"},
    )
    assert "no Kafka broker answers at 127.0.0.1:1" in done.stderr
    assert "hint" in done.stderr


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_daemon_stops_cleanly_on_a_signal(tmp_path: Path, stop: signal.Signals) -> None:
    environ = os.environ | {"STGAL_DAEMON_HTTP_PORT": "0"}
    with subprocess.Popen(
        [*COMMAND, "run", "--embedded", "log"],
        cwd=tmp_path,
        env=environ,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        said = ""
        while "output from" not in said:
            line = process.stderr.readline()
            assert line, said
            said += line
        process.send_signal(stop)
        said += process.stderr.read()
        assert process.wait(HANG_S) == 0, said
    assert "stopped cleanly" in said


@pytest.mark.slow
def test_what_helps_before_a_run(tmp_path: Path) -> None:
    assert "stgal-stream, version" in stgal("--version", cwd=tmp_path).stdout
    for command in ([], ["run"], ["replay"], ["replay", "site"], ["export"], ["demo"], ["topics"]):
        assert "Usage" in stgal(*command, "--help", cwd=tmp_path).stdout
    assert "stgal-stream" in stgal("completion", "bash", cwd=tmp_path).stdout
    assert "the configuration is good" in stgal("check-config", cwd=tmp_path).stdout
    made = stgal("topics", "--embedded", "log", cwd=tmp_path).stdout
    assert "detections" in made
    stgal("topics", "--embedded", "log", "--check", cwd=tmp_path)
    stgal("topics", "--embedded", "other", "--check", cwd=tmp_path, check=3)


def small_set(path: Path) -> None:
    """Forty people in three cameras, one image a visit: the second is the query."""
    walk = [
        d
        for d in simulated_walk(5, n_people=150, tracked=False)
        if int(d.id[1:].split("-")[1]) % 5 == 0
    ]
    numpy.savez(
        path,
        embedding=numpy.stack([d.embedding for d in walk]),
        person_id=numpy.array([int(d.id[1:].split("-")[0]) for d in walk]),
        camera=numpy.array([d.camera for d in walk]),
        time_s=numpy.array([d.time_s for d in walk]),
        split=numpy.array(["query" if d.camera == "cam-1" else "gallery" for d in walk]),
    )


def test_evaluate_embeddings(tmp_path: Path) -> None:
    small_set(tmp_path / "set.npz")
    done = stgal(
        "evaluate", "--embeddings", "set.npz", "--json", "a.json", "--html", "a.html", cwd=tmp_path
    )
    assert "Printed elsewhere" in done.stdout
    found = json.loads((tmp_path / "a.json").read_text())
    retrieval = found["retrieval"]
    assert set(retrieval) == {
        "p_v", "p_a_paper", "p_a_calibrated", "tfusion", "st_reid", "p_a_oracle",
    }  # fmt: skip
    assert set(retrieval["p_v"]) == {"rank1", "rank5", "rank10", "mAP", "mINP"}
    assert retrieval["p_a_calibrated"]["mAP"] > retrieval["p_v"]["mAP"]
    assert found["pairs"]["ibbs"]["precision"] > 0.9
    assert found["calibration"]["learned"]
    page = (tmp_path / "a.html").read_text()
    assert "<svg" in page
    assert "http" not in page.replace("http-equiv", "")
    stgal("evaluate", "--embeddings", "set.npz", "--json", "b.json", cwd=tmp_path)
    again = json.loads((tmp_path / "b.json").read_text())
    for part in ("retrieval", "pairs", "calibration"):
        assert again[part] == found[part], "figures must match from one run to the next"


def test_evaluate_a_mapping_and_inspect_the_state(tmp_path: Path) -> None:
    walk = simulated_walk(4, n_people=60)
    (tmp_path / "in.jsonl").write_bytes(b"\n".join(embedded_upstream(d) for d in walk))
    stgal("run", "--from", "in.jsonl", "--to", "out.jsonl", "--mapping", "m.csv", cwd=tmp_path)
    with (tmp_path / "truth.csv").open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(("detection_id", "person_id", "camera", "time_s"))
        writer.writerows((d.id, d.id[1:].split("-")[0], d.camera, d.time_s) for d in walk)
    done = stgal(
        "evaluate", "--mapping", "m.csv", "--truth", "truth.csv", "--json", "q.json", cwd=tmp_path
    )
    assert "F1 across cameras" in done.stdout
    found = json.loads((tmp_path / "q.json").read_text())
    assert found["final"]["across"]["f1"] > 0.9
    assert 0 < found["decided_after_s"]["p50"] < 60


def test_inspect_a_daemons_state(tmp_path: Path) -> None:
    done = stgal("inspect", "--state-dir", str(tmp_path), cwd=tmp_path, check=2)
    assert "no snapshot" in done.stderr
    tracker = SiteTracker("yard", TrackerSettings())
    store = SnapshotStore(tmp_path / "state", "f")

    def saved(offset: int) -> Snapshot:
        return Snapshot(offset, {"yard": snapshot(tracker)}, MarkerState({}, {}))

    store.save(Partition("embeddings", 0), saved(1))
    assert "needs about 12 more" in stgal("inspect", "--state-dir", "state", cwd=tmp_path).stdout
    for detection in simulated_walk(1, n_people=80):
        tracker.observe(detection)
    store.save(Partition("embeddings", 0), saved(2))
    text = stgal("inspect", "--state-dir", "state", cwd=tmp_path).stdout
    assert "expected precision" in text
    facts = json.loads(stgal("inspect", "--state-dir", "state", "--json", cwd=tmp_path).stdout)
    (pair,) = [p for p in facts["yard"]["pairs"] if p["cameras"] == ["cam-0", "cam-1"]]
    assert pair["verdict"] == "linked"
    assert 28 < pair["median_s"] < 44


@pytest.mark.slow
def test_export_by_command(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    done = stgal(
        "export", "--weights", "seeded", "--out", "s.onnx", "--height", "64", "--width", "32",
        cwd=tmp_path,
    )  # fmt: skip
    assert "parity with torch" in done.stdout


@pytest.mark.kafka
def test_through_a_real_broker(tmp_path: Path, broker: str) -> None:
    """replay -> run --brokers -> outputs read back with read_committed."""
    prefix = uuid.uuid4().hex[:8]
    environ = {f"STGAL_TOPICS_{name}".upper(): f"{prefix}-{name}" for name in TOPICS}
    environ |= {"STGAL_KAFKA_GROUP_PREFIX": prefix, "STGAL_DAEMON_HTTP_PORT": "0"}
    environ |= {"STGAL_DAEMON_STATE_DIR": str(tmp_path / "state"), "STGAL_KAFKA_PARTITIONS": "2"}
    stgal("topics", "--brokers", broker, cwd=tmp_path, environ=environ)
    stgal("topics", "--brokers", broker, "--check", cwd=tmp_path, environ=environ)
    stgal(
        "replay", "site", "--people", "12", "--minutes", "4", "--brokers", broker,
        "--site", "lobby", "--truth", "truth.csv", cwd=tmp_path, environ=environ,
    )  # fmt: skip
    for stage in ("embed", "associate"):
        stgal(
            "run",
            "--brokers",
            broker,
            "--stage",
            stage,
            "--until-end",
            cwd=tmp_path,
            environ=environ,
        )
    from stgal_stream.log.kafka import KafkaLog

    log = KafkaLog([broker])
    events = []
    for partition in range(2):
        events += [
            json.loads(r.value) for r in log.read(f"{prefix}-identities", partition, 0, 100_000)
        ]
    log.close()
    decided = [
        name
        for event in events
        if event["type"] in ("created", "joined")
        for name in event["tracklet"]["detections"]
    ]
    with (tmp_path / "truth.csv").open() as truth:
        sent = [row["detection_id"] for row in csv.DictReader(truth)]
    assert sorted(decided) == sorted(sent)
    assert {event["site"] for event in events} == {"lobby"}


def test_values_reads_everything(tmp_path: Path) -> None:
    from stgal_stream.log.embedded import EmbeddedLog
    from stgal_stream.log.port import NewRecord, TopicSpec

    log = EmbeddedLog(tmp_path)
    log.ensure_topics([TopicSpec("t")])
    log.append([NewRecord("t", None, str(i).encode()) for i in range(2500)])
    assert len(list(values(log, "t"))) == 2500
    log.close()
