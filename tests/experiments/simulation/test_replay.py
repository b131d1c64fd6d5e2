"""Simulated sites, schedules and replays: repeatable, resumable, free of labels."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
import zstandard
from click.testing import CliRunner

from stgal_stream.cli import cli
from stgal_stream.configuration import simulated_config
from stgal_stream.errors import ConfigError, DataError
from stgal_stream.evaluation.datasets import load_dataset
from stgal_stream.experiments.replay import Bookmark, Source, replay, write_truth
from stgal_stream.experiments.sending import FileSink, Message, part_of, send
from stgal_stream.experiments.simulation.schedule import (
    ScheduledPeople,
    read_schedule,
    write_dataset,
)
from stgal_stream.experiments.simulation.site import SimulatedSite, SiteLaw
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.port import TopicSpec
from tests.support.detector_messages import walk, written

SMALL = SiteLaw(n_people=4, duration_s=120.0)
SCHEDULE = """split,filename,person_id,camera,est_s
query,0005_c1s1_000100_00.jpg,5,1,4.0
gallery,0005_c2s1_000300_01.jpg,5,2,12.0
gallery,0000_c2s1_000350_01.jpg,0,2,14.0
gallery,-1_c1s1_000375_01.jpg,-1,1,15.0
train,0002_c1s1_000450_01.jpg,2,1,18.0
"""


def schedule(tmp_path: Path) -> Path:
    path = tmp_path / "schedule.csv"
    path.write_text(SCHEDULE)
    return path


class ListSink:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def send(self, batch: list[tuple[str, bytes]]) -> None:
        self.bodies += [body for _, body in batch]

    def finish(self) -> None:
        """Nothing is left to do."""

    def close(self) -> None:
        """Nothing is open."""


def sent_to(source: Source, path: Path, *, resume: bool = False, **more: Any) -> int:
    sink = FileSink(path, resume=resume)
    try:
        sent = replay(source, sink, **more)
        if sent == len(source):
            sink.finish()
        return sent
    finally:
        sink.close()


def test_a_site_is_given_by_its_seed() -> None:
    first, second = (list(SimulatedSite(5, SMALL).detections()) for _ in range(2))
    assert first == second
    assert [d.time_s for d in first] == sorted(d.time_s for d in first)
    other = list(SimulatedSite(6, SMALL).detections())
    assert [d.crop for d in other[:5]] != [d.crop for d in first[:5]]
    truth = list(SimulatedSite(5, SMALL).truth())
    assert [(t.detection_id, t.person) for t in truth] == [(d.id, d.person) for d in first]


def test_a_stopped_replay_goes_on_where_it_was(tmp_path: Path) -> None:
    source = SimulatedSite(5, SMALL)
    whole, parts = tmp_path / "whole.jsonl", tmp_path / "parts.jsonl"
    sent_to(source, whole, resume=False, start_s=1.7e9)
    calls = 0

    def stop_soon() -> bool:
        nonlocal calls
        calls += 1
        return calls > 20

    parts.write_text("what was there before")
    sent = sent_to(source, parts, resume=False, start_s=1.7e9, stopped=stop_soon)
    assert 0 < sent < len(source)
    assert parts.read_text() == "what was there before"
    assert len(part_of(parts).read_text().splitlines()) == sent
    assert sent_to(source, parts, resume=True, start_s=1.7e9, first=sent) == len(source)
    assert parts.read_bytes() == whole.read_bytes()
    assert not part_of(parts).exists()


def test_a_bookmark_remembers_and_forgets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    mark = Bookmark.of("this replay")
    assert mark.read() == 0
    mark.write(17)
    assert Bookmark.of("this replay").read() == 17
    assert Bookmark.of("another replay").read() == 0
    mark.path.write_text("broken")
    assert mark.read() == 0
    mark.remove()
    assert not mark.path.exists()


def test_speed_is_that_of_the_clock(tmp_path: Path) -> None:
    source = ScheduledPeople(read_schedule(schedule(tmp_path)), seed=1)
    began_s = time.monotonic()
    sent_to(source, tmp_path / "out", resume=False, start_s=0.0, speed=22.0)
    assert time.monotonic() - began_s >= 11 / 22.0 - 0.05


@pytest.mark.parametrize("name", ["nvschema", "deepstream minimal", "scenescape"])
def test_a_recording_is_sent_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Record by record, whatever its format; one that cannot be used goes where it lies."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    lines = [written(name, seen) for seen in walk()]
    (tmp_path / "in.jsonl.zst").write_bytes(zstandard.compress(b"\n".join(lines)))
    what = ["replay", "file", "--from", str(tmp_path / "in.jsonl.zst")]
    log = EmbeddedLog(tmp_path / "log")
    log.ensure_topics([TopicSpec(simulated_config(tmp_path).topics.detections, 1, 1e9)])
    log.close()
    what += ["--embedded", str(tmp_path / "log")]
    done = CliRunner().invoke(cli, what)
    assert done.exit_code == 0, done.output
    log = EmbeddedLog(tmp_path / "log")
    assert [r.value for r in log.read("detections", 0, 0, 1000)] == lines
    assert {r.key for r in log.read("detections", 0, 0, 1000)} == {b"gate", b"hall", b"lift"}
    log.close()
    assert "cannot be used" not in done.output
    wrong = CliRunner().invoke(cli, [*what, "--format", "onvif"])
    assert f"{len(lines)} of them cannot be used" in " ".join(wrong.output.split())
    assert isinstance(CliRunner().invoke(cli, what[:4]).exception, ConfigError)


def test_a_recording_keeps_its_pace_and_goes_on() -> None:
    """A record without a time goes with the one before it; those sent before are left out."""
    messages = [Message("c", t, b"%d" % k) for k, t in enumerate((10.0, 10.2, -math.inf, 10.4))]
    sink, began_s = ListSink(), time.monotonic()
    assert send(messages[1:], sink, speed=2.0, first=1) == 4
    assert time.monotonic() - began_s >= 0.1
    assert sink.bodies == [b"1", b"2", b"3"]


def test_a_schedule_becomes_a_stream_and_a_dataset(tmp_path: Path) -> None:
    rows = read_schedule(schedule(tmp_path))
    assert [(r.person, r.camera) for r in rows] == [(5, "c1"), (5, "c2"), (0, "c2"), (-1, "c1")]
    assert len(read_schedule(schedule(tmp_path), "train")) == 1
    source = ScheduledPeople(rows, seed=1)
    out = tmp_path / "out.jsonl"
    sent_to(source, out, resume=False, start_s=1.7e9)
    sent = [json.loads(line) for line in out.read_text().splitlines()]
    assert len({s["id"] for s in sent}) == 4
    assert not any("0005" in s["id"] for s in sent)  # the file's name says who it is
    assert all("person" not in json.dumps({**s, "object": {}, "crop": {}}) for s in sent)
    write_truth(source, tmp_path / "truth.csv")
    assert (tmp_path / "truth.csv").read_text().splitlines()[1].endswith(",5,c1,0.000")
    assert list(write_dataset(source, tmp_path / "set")) == [1, 2, 3, 4]
    images = load_dataset("market1501", tmp_path / "set")
    assert sorted(i.person for i in images) == [-1, 0, 5, 5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no row"),
        ("a,b\n1,2\n", "no column person_id"),
        ("person_id,camera\n1,2\n", "no column time_s"),
        ("person_id,camera,time_s\n1,2,soon\n", "line 2"),
    ],
)
def test_a_broken_schedule_is_told(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "s.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_schedule(path)


def test_a_schedule_that_is_no_gzip_is_told(tmp_path: Path) -> None:
    path = tmp_path / "s.csv.gz"
    path.write_bytes(b"plain")
    with pytest.raises(DataError, match="cannot be read"):
        read_schedule(path)
