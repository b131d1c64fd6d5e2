"""The loop by its commands: a stream, a retraining, releases, a daemon that loads one."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import uuid
from pathlib import Path

import onnx
import pytest
import torch

from stgal_stream.configuration import load_config
from stgal_stream.extractor.onnx import SHIPPED, OnnxExtractor
from stgal_stream.extractor.releases import sha256_of
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.training.trainer import TrainingSettings
from tests.support.places import TOPICS
from tests.support.process import stgal
from tests.support.retraining import CHECKPOINT, TORCHRUN, kind, once

pytestmark = pytest.mark.training


def test_retrain_release_promote_and_roll_back(site: Path) -> None:
    done = stgal(
        "retrain", "--embedded", "log", "--out", "releases", "--iterations", "2",
        "--batch-pairs", "4", "--min-pairs", "5", "--no-promote", cwd=site,
    )  # fmt: skip
    assert "gate:" in done.stdout
    assert "not promoted" in done.stdout
    assert not (site / "releases" / ".training").exists()
    name = next(p.name for p in (site / "releases").glob("retrained-*"))
    where = ("--embedded", "log", "--releases", "releases")
    about = json.loads(stgal("models", "show", name, *where, cwd=site).stdout)
    assert about["parent"].startswith("half@")
    assert about["data"]["pairs"] >= 5
    assert about["settings"]["iterations"] == 2
    stgal("models", "promote", name, *where, cwd=site)
    assert f"* {name}" in stgal("models", "list", *where, cwd=site).stdout
    run = stgal("run", "--embedded", "log", "--until-end", cwd=site)
    assert f"are embedded by {name}@" in run.stderr
    assert f": embedded by {name}@" in run.stderr
    (site / "releases" / name / "model.onnx").write_bytes(b"damaged")
    run = stgal("run", "--embedded", "log", "--until-end", cwd=site)
    assert f"release {name} is refused" in run.stderr
    assert "are embedded by half@" in run.stderr
    assert f"refused by {socket.gethostname()}: {name}" in (
        stgal("models", "list", *where, cwd=site).stdout
    )
    nothing = stgal("models", "rollback", *where, cwd=site, check=2)
    assert "nothing to roll back" in nothing.stderr
    assert "takes back the refused promotion" in nothing.stderr
    back = stgal("models", "rollback", "--to-configured", *where, cwd=site)
    assert "back to the configured" in back.stdout
    stgal("models", "rollback", "--to-configured", *where, cwd=site, check=2)


@pytest.mark.kafka
def test_the_whole_loop_through_a_real_broker(half: Path, tmp_path: Path, broker: str) -> None:
    """Crops by offset from several partitions, one record a promotion, and a daemon that changes
    over and back."""
    prefix = uuid.uuid4().hex[:8]
    environ = {f"STGAL_TOPICS_{name}".upper(): f"{prefix}-{name}" for name in TOPICS}
    environ |= {"STGAL_KAFKA_GROUP_PREFIX": prefix, "STGAL_DAEMON_HTTP_PORT": "0"}
    environ |= {"STGAL_DAEMON_STATE_DIR": str(tmp_path / "state"), "STGAL_KAFKA_PARTITIONS": "2"}
    environ |= {"STGAL_EMBED_MODEL": str(half), "STGAL_EMBED_RELEASES": str(tmp_path / "releases")}

    def ours(*arguments: str) -> subprocess.CompletedProcess[str]:
        return stgal(*arguments, "--brokers", broker, cwd=tmp_path, environ=environ)

    ours("replay", "site", "--people", "30", "--minutes", "6")
    ours("run", "--until-end")
    few = ("--iterations", "2", "--min-pairs", "5", "--batch-pairs", "4")
    done = ours("retrain", *few, "--resume")
    assert "gate:" in done.stdout
    name = done.stdout.split()[1].rstrip(":")
    about = json.loads(ours("models", "show", name).stdout)
    assert about["data"]["pairs"] >= 5
    assert "out_of_retention" not in about["data"]["left_out"]
    assert len(about["data"]["until"][f"{prefix}-embeddings"]) == 2
    ours("models", "promote", name)
    assert f"* {name}" in ours("models", "list").stdout
    assert f"are embedded by {name}@" in ours("run", "--until-end").stderr
    assert "back to the configured" in ours("models", "rollback", "--to-configured").stdout
    assert "are embedded by half@" in ours("run", "--until-end").stderr


def test_the_same_data_and_seed_give_the_same_release(site: Path) -> None:
    """Nothing but the log goes in: the truth of the simulation lies in no topic."""
    names = []
    for out in ("one", "two"):
        stgal(
            "retrain", "--embedded", "log", "--out", out, "--iterations", "2",
            "--batch-pairs", "4", "--min-pairs", "5", "--no-promote", cwd=site,
        )  # fmt: skip
        names.append([p.name for p in (site / out).glob("retrained-*")])
    assert names[0] == names[1]


def test_within_cameras_no_pair_is_needed(site: Path, half: Path) -> None:
    """Baseline B, and a checkpoint of one kind of training is not gone on with by the other."""
    few = ("retrain", "--embedded", "log", "--out", "within", "--iterations", "1", "--no-promote")
    done = stgal(*few, "--within-cameras", "--min-pairs", "100000", cwd=site)
    assert "tracks within cameras" in done.stdout
    about = json.loads(next((site / "within").glob("retrained-*/release.json")).read_text())
    assert about["settings"]["within_cameras"] is True
    assert about["data"]["pairs"] == 0
    other = site / "within" / ".training" / "checkpoint.pt"
    other.parent.mkdir()
    about = {"until": {}, "data": "", **kind(site / "log", half)}
    settings = once(TrainingSettings.within_cameras(1), half)
    torch.save({**CHECKPOINT, "settings": settings, "about": about}, other)
    done = stgal(*few, "--within-cameras", "--seed", "1", "--resume", cwd=site)
    assert "another baseline or source: starting again" in done.stderr


def test_two_processes_have_the_losses_of_one(site: Path) -> None:
    """As many parts of a batch, whoever computes them: equal but for rounding."""
    few = ("--iterations", "4", "--min-pairs", "5", "--batch-pairs", "6")
    what = ("retrain", "--embedded", "log", *few, "--no-promote")
    stgal(*what, "--out", "alone", cwd=site, environ={"OMP_NUM_THREADS": "1"})
    command = [*TORCHRUN, "-m", "stgal_stream.cli", *what, "--out", "together"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=site, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("gate:") == 1
    curves = []
    for out in ("alone", "together"):
        about = json.loads(next((site / out).glob("*/release.json")).read_text())
        curves.append(about["settings"]["first_losses"])
    assert len(curves[0]) == 4
    assert curves[0] == pytest.approx(curves[1], rel=1e-3)


def test_what_is_in_use_is_found_where_it_was_promoted_from(site: Path, tmp_path: Path) -> None:
    """And is what was promoted: its folder's own word is not enough, for a way back neither."""
    shutil.copytree(site / "log", tmp_path / "log")
    small = ("--iterations", "1", "--min-pairs", "5", "--batch-pairs", "4", "--most", "200")
    few = (*small, "--no-promote")
    first = stgal("retrain", "--embedded", "log", "--out", "a", *few, cwd=tmp_path)
    name = first.stdout.split()[1].rstrip(":")
    stgal("models", "promote", name, "--embedded", "log", "--releases", "a", cwd=tmp_path)
    where = ("--embedded", "log", "--releases", "b")
    second = stgal("retrain", "--embedded", "log", "--out", "b", *few, cwd=tmp_path)
    assert f"baseline {name}@" in second.stderr
    other = second.stdout.split()[1].rstrip(":")
    listed = stgal("models", "list", *where, cwd=tmp_path).stdout
    assert f"* {name}  in use, from {tmp_path / 'a'}" in listed
    stgal("models", "promote", other, *where, cwd=tmp_path)
    about = json.loads((tmp_path / "a" / name / "release.json").read_text())
    shutil.copyfile(tmp_path / "b" / other / "model.onnx", tmp_path / "a" / name / "model.onnx")
    about["sha256"] = sha256_of(tmp_path / "a" / name / "model.onnx")
    (tmp_path / "a" / name / "release.json").write_text(json.dumps(about))
    refused = stgal("models", "rollback", *where, cwd=tmp_path, check=4)
    assert "not what was promoted" in refused.stderr
    done = stgal("models", "rollback", "--to-configured", *where, cwd=tmp_path)
    assert "back to the configured" in done.stdout
    nothing = stgal("models", "rollback", "--to-configured", *where, cwd=tmp_path, check=2)
    assert "no release is in use" in nothing.stderr


def test_smaller_crops_are_an_option_and_said(site: Path, half: Path) -> None:
    """And a stop after the training loses none of it."""
    what = (
        "retrain", "--embedded", "log", "--out", "small", "--iterations", "2", "--min-pairs", "5",
        "--batch-pairs", "4", "--crop-size", "32", "16", "--most", "150", "--no-promote",
    )  # fmt: skip
    done = stgal(*what, cwd=site)
    assert "crops of 32 x 16" in done.stdout
    assert "older than the newest" in done.stdout
    found = next((site / "small").glob("retrained-*"))
    about = json.loads((found / "release.json").read_text())
    assert about["settings"]["crop_size"] == [32, 16]
    extractor = OnnxExtractor(found / "model.onnx")
    assert (extractor.form.height_px, extractor.form.width_px) == (32, 16)
    meta = {p.key: p.value for p in onnx.load(found / "model.onnx").metadata_props}
    assert meta["stgal.parent"] == about["parent"] == OnnxExtractor(half).version
    assert float(meta["stgal.alpha"]) == about["gate"]["candidate"]["alpha"] > 0
    assert 0 <= float(meta["stgal.sigma"]) <= 1


def test_pairs_and_crops_in_files_are_as_good_as_a_log(site: Path, tmp_path: Path) -> None:
    """What the log holds, as files: the same pairs, judged by the same gate, promoted by nobody."""
    topics = load_config(None, {}).topics
    log = EmbeddedLog(site / "log")
    (tmp_path / "crops").mkdir()
    lines = [record.value for record in log.read(topics.associations, 0, 0, 100_000)]
    (tmp_path / "pairs.jsonl").write_bytes(b"\n".join(lines))
    for record in log.read(topics.detections, 0, 0, 100_000):
        body = json.loads(record.value)
        path = tmp_path / "crops" / f"{body['id']}.jpg"
        path.write_bytes(base64.b64decode(body["crop"]["data"]))
    log.close()
    # One line that is none, times that run backwards, odds that are no number: counted.
    good = json.loads(next(line for line in lines if b'"accepted"' in line))
    bad = [b"{", b'["x"]', b"[" * 100_000]
    for change in (
        {"query": {**good["query"], "start": "2099-01-01T00:00:00Z"}},
        {"query": {**good["query"], "id": ["a"]}},
        {"evidence": {**good["evidence"], "logOdds": "much"}},
        {"site": 3},
    ):
        bad.append(json.dumps({**good, "pairId": "p", **change}).encode())
    for name, change in (
        ("q", {"query": {**good["query"], "id": "x" * 300}}),
        ("r", {"evidence": {**good["evidence"], "logOdds": -1e9}}),
    ):
        bad.append(json.dumps({**good, "pairId": name, **change}).encode())
    (tmp_path / "some.jsonl").write_bytes(b"\n".join([*lines, *bad]))
    files = ("--pairs", "some.jsonl", "--crops", "crops", "--out", "releases")
    few = ("--iterations", "2", "--min-pairs", "5", "--batch-pairs", "4")
    done = stgal("retrain", *files, *few, cwd=tmp_path)
    assert "gate:" in done.stdout
    assert "not promoted" in done.stdout
    assert "7 unreadable event" in done.stdout
    (tmp_path / "broken.jsonl").write_text('{"type": "accepted"}\n')
    files = ("--pairs", "broken.jsonl", "--crops", "crops", "--out", "releases")
    broken = stgal("retrain", *files, cwd=tmp_path, check=2)
    assert "broken.jsonl, line 1" in broken.stderr
    alone = stgal("retrain", "--pairs", "pairs.jsonl", cwd=tmp_path, check=2)
    assert "go together" in alone.stderr


def test_a_variant_is_not_made_where_its_loss_cannot_be_measured(site: Path) -> None:
    shutil.copyfile(SHIPPED, site / "mine.onnx")
    done = stgal("quantise", "--model", "mine.onnx", "--embedded", "log", cwd=site)
    assert "too few to measure its loss by" in done.stdout
    assert not (site / "mine.int8.onnx").exists()
    gone = stgal("quantise", "--model", "nowhere.onnx", "--embedded", "log", cwd=site, check=4)
    assert "no model at nowhere.onnx" in gone.stderr
    (site / "a-release").mkdir()
    shutil.copyfile(SHIPPED, site / "a-release" / "model.onnx")
    (site / "a-release" / "release.json").write_text("{}")
    released = ("quantise", "--model", "a-release/model.onnx", "--embedded", "log")
    assert "a release never changes" in stgal(*released, cwd=site, check=2).stderr
    none = stgal("quantise", "--model", "mine.onnx", cwd=site, check=2)
    assert "--embedded DIR" in none.stderr


def test_the_same_once_more_promotes_nothing_and_blocks_nobody(site: Path, tmp_path: Path) -> None:
    """A night in which nothing new came in, after somebody took the release back."""
    shutil.copytree(site / "log", tmp_path / "log")
    few = ("--iterations", "1", "--min-pairs", "5", "--batch-pairs", "4")
    what = ("retrain", "--embedded", "log", *few, "--resume")
    name = stgal(*what, cwd=tmp_path).stdout.split()[1]
    again = stgal(*what, cwd=tmp_path)
    assert name.rstrip(":") in again.stderr
    assert "nothing new came in" in again.stderr
    assert "not promoted" in again.stdout
    assert not (tmp_path / "log" / "releases" / ".training").exists()
