"""A retraining that is stopped, used wrongly, or finds something that fits no more."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stgal_stream.configuration import load_config
from stgal_stream.extractor.onnx import OnnxExtractor
from stgal_stream.extractor.releases import Releases
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.port import NewRecord, TopicSpec
from stgal_stream.retraining.data.sources import LogSource
from stgal_stream.retraining.job import Job, Outcome
from stgal_stream.retraining.job_settings import JobSettings
from stgal_stream.training.network import ResNet50
from stgal_stream.training.trainer import Training, TrainingSettings
from tests.support.process import stgal, together
from tests.support.retraining import CHECKPOINT, kind, once
from tests.support.tiny_model import tiny

pytestmark = [pytest.mark.training, pytest.mark.fault]


def test_too_few_pairs_and_wrong_use_are_said(site: Path, tmp_path: Path) -> None:
    many = ("retrain", "--embedded", "log", "--out", "few", "--min-pairs", "100000")
    few = stgal(*many, cwd=site, check=2)
    assert "100000 are needed" in few.stderr
    said = together(2, "stgal-stream", *many, cwd=site).stderr
    assert said.count("100000 are needed") == 1
    gone = stgal("retrain", "--embedded", "nowhere", "--out", "x", cwd=tmp_path, check=2)
    assert "no embedded log" in gone.stderr
    assert not (tmp_path / "nowhere").exists()
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"x")
    stgal(
        "retrain", "--embedded", "log", "--out", "x", "--baseline", str(broken), cwd=site, check=4
    )
    other = ("--baseline", str(tiny(tmp_path / "tiny.onnx")))
    none = stgal("retrain", "--embedded", "log", "--out", "x", *other, cwd=site, check=4)
    assert "no conv1 of a ResNet-50" in none.stderr
    assert "reading crops" not in none.stderr
    shutil.rmtree(site / "x", ignore_errors=True)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("of another baseline", "another baseline or source"),
        ("cut off", "cannot be read"),
        ("something else", "is no checkpoint"),
        ("gone", "is gone by now"),
    ],
)
def test_a_checkpoint_that_fits_no_more_blocks_nobody(
    site: Path, half: Path, what: str, said: str
) -> None:
    """A scheduled run always says --resume; settings or the baseline change in between, and a disk
    may have lost the file."""
    shutil.rmtree(site / "again", ignore_errors=True)
    old = site / "again" / ".training"
    old.mkdir(parents=True)
    topics = load_config(None, {}).topics
    until = {t: [0] for t in (topics.identities, topics.associations, topics.embeddings)}
    about = {"until": until, "data": "what there was once", **kind(site / "log", half)}
    if what == "of another baseline":
        about["baseline"] = "another"
    settings = once(TrainingSettings(), half)
    torch.save({**CHECKPOINT, "settings": settings, "about": about}, old / "checkpoint.pt")
    if what == "cut off":
        (old / "checkpoint.pt").write_bytes((old / "checkpoint.pt").read_bytes()[:100])
    elif what == "something else":
        torch.save({}, old / "checkpoint.pt")
    done = stgal(
        "retrain", "--embedded", "log", "--out", "again", "--iterations", "1",
        "--min-pairs", "5", "--no-promote", "--resume", cwd=site,
    )  # fmt: skip
    assert said in done.stderr
    assert "starting again" in done.stderr
    assert "gate:" in done.stdout


def test_a_training_that_fails_leaves_nothing_to_fail_again(site: Path) -> None:
    """A scheduled run says --resume: it would come to the same end every night."""
    what = (
        "retrain",
        "--embedded",
        "log",
        "--out",
        "fails",
        "--min-pairs",
        "5",
        "--resume",
        "--no-promote",
    )
    few = ("--iterations", "5", "--batch-pairs", "3", "--most", "200")
    failed = stgal(*what, *few, "--learning-rate", "1e20", cwd=site, check=4)
    assert "the loss is no number" in failed.stderr
    assert not (site / "fails" / ".training").exists()


def test_processes_and_parts_go_together(site: Path) -> None:
    what = ("retrain", "--embedded", "log", "--out", "parts", "--min-pairs", "5", "--no-promote")
    done = together(2, "stgal-stream", *what, "--parts", "1", cwd=site)
    assert "--parts 1 is too few for 2 processes" in done.stderr
    many = ("--batch-pairs", "2", "--parts", "64", "--iterations", "1", "--most", "200")
    assert "too small for 64 parts" in stgal(*what, *many, cwd=site, check=2).stderr


Run = Callable[[Path, str | None], Outcome]


@pytest.fixture(scope="module")
def run(site: Path, half: Path) -> Iterator[Run]:
    """A short retraining into a folder, stopped in a step where one is named."""
    training = TrainingSettings(iterations=3, n_pairs=3)
    settings = JobSettings(training, min_pairs=5, promote=False, max_tracklets=200)
    log = EmbeddedLog(site / "log")
    baseline = OnnxExtractor(half, eight_bit=False)

    def run(folder: Path, stop_in: str | None) -> Outcome:
        stop = threading.Event()

        def heard(what: str, done: int, total: int, note: str) -> None:
            if what == stop_in and done >= 1:
                stop.set()

        source = LogSource(log, load_config(None, {}).topics)
        job = Job(source, baseline, Releases(folder))
        return job.run(replace(settings, resume=stop_in is None), stop, heard)

    yield run
    log.close()


@pytest.fixture(scope="module")
def never_stopped(run: Run, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The version that comes of it in one go."""
    release = run(tmp_path_factory.mktemp("whole"), None).release
    assert release is not None
    return release.version


@pytest.mark.parametrize("step", ["reading crops", "embedding", "training", "judging"])
def test_stopped_in_any_step_and_resumed_is_as_never_stopped(
    run: Run, never_stopped: str, tmp_path: Path, step: str
) -> None:
    assert run(tmp_path, step).release is None
    assert (tmp_path / ".training").exists() == (step in ("training", "judging"))
    again = run(tmp_path, None).release
    assert again is not None
    assert again.version == never_stopped
    assert not (tmp_path / ".training").exists()


def test_what_lies_in_the_log_may_be_anything(site: Path, tmp_path: Path) -> None:
    """Odd records are counted and stop nothing; nor is retention changed by whoever only reads."""
    shutil.copytree(site / "log", tmp_path / "log")
    config = load_config(None, {})
    log = EmbeddedLog(tmp_path / "log")
    specs = [TopicSpec(config.topics.detections, 1, 3600.0)]
    log.ensure_topics(specs)
    crop = {"topic": config.topics.detections, "partition": 7, "offset": 1}
    times = {"start": "2025-01-01T00:00:00Z", "end": "2025-01-01T00:00:01Z"}
    tracklet = {"id": "x", "sensorId": "c", **times, "crop": crop}
    for topic, value in (
        (config.topics.identities, "garbage"),
        (config.topics.identities, "5"),
        (config.topics.identities, '{"type": "created", "site": "x", "tracklet": {"crop": {}}}'),
        (
            config.topics.identities,
            json.dumps({"type": "created", "site": "x", "tracklet": tracklet}),
        ),
        (config.topics.associations, '{"type": "accepted"}'),
        (config.topics.associations, "[]"),
    ):
        log.append([NewRecord(topic, b"k", value.encode())])
    log.close()
    few = ("--iterations", "1", "--min-pairs", "5", "--batch-pairs", "4")
    done = stgal("retrain", "--embedded", "log", *few, cwd=tmp_path)
    assert "6 unreadable event" in done.stdout
    stgal("models", "list", "--embedded", "log", cwd=tmp_path)
    log = EmbeddedLog(tmp_path / "log")
    found = log.connection().execute("SELECT name, retention_s FROM topics").fetchall()
    assert dict(found)[config.topics.detections] == 3600.0
    log.close()


@pytest.mark.parametrize(
    "option", [("--held-out", "nan"), ("--learning-rate", "inf"), ("--seed", "-1")]
)
def test_numbers_that_are_none_are_refused(option: tuple[str, str], tmp_path: Path) -> None:
    done = stgal("retrain", "--embedded", "log", *option, cwd=tmp_path, check=2)
    assert option[0] in done.stderr


def test_a_disk_that_is_full_ends_no_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "no folder").write_text("")
    training = Training(ResNet50(), TrainingSettings(), tmp_path / "no folder" / "x.pt", {})
    training.save()
    assert "no checkpoint" in caplog.text
