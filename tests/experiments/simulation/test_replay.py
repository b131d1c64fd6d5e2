"""Simulated sites, schedules and replays: repeatable, resumable, free of labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stgal_stream.errors import DataError
from stgal_stream.evaluation.datasets import load_dataset
from stgal_stream.experiments.replay import (
    Bookmark,
    FileSink,
    Source,
    part_of,
    replay,
    write_truth,
)
from stgal_stream.experiments.simulation.schedule import (
    ScheduledPeople,
    read_schedule,
    write_dataset,
)
from stgal_stream.experiments.simulation.site import SimulatedSite, SiteLaw

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


def send(source: Source, path: Path, *, resume: bool = False, **more: Any) -> int:
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
    send(source, whole, resume=False, start_s=1.7e9)
    calls = 0

    def stop_soon() -> bool:
        nonlocal calls
        calls += 1
        return calls > 20

    parts.write_text("what was there before")
    sent = send(source, parts, resume=False, start_s=1.7e9, stopped=stop_soon)
    assert 0 < sent < len(source)
    assert parts.read_text() == "what was there before"
    assert len(part_of(parts).read_text().splitlines()) == sent
    assert send(source, parts, resume=True, start_s=1.7e9, first=sent) == len(source)
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
    import time

    source = ScheduledPeople(read_schedule(schedule(tmp_path)), seed=1)
    began_s = time.monotonic()
    send(source, tmp_path / "out", resume=False, start_s=0.0, speed=22.0)
    assert time.monotonic() - began_s >= 11 / 22.0 - 0.05


def test_a_schedule_becomes_a_stream_and_a_dataset(tmp_path: Path) -> None:
    rows = read_schedule(schedule(tmp_path))
    assert [(r.person, r.camera) for r in rows] == [(5, "c1"), (5, "c2"), (0, "c2"), (-1, "c1")]
    assert len(read_schedule(schedule(tmp_path), "train")) == 1
    source = ScheduledPeople(rows, seed=1)
    out = tmp_path / "out.jsonl"
    send(source, out, resume=False, start_s=1.7e9)
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
