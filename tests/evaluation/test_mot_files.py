"""MOTChallenge files that we write, as motmetrics reads and scores them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from stgal_stream.cli import cli
from stgal_stream.errors import DataError
from stgal_stream.evaluation.mot_files import MotCounts, TrackedBox, file_names, write_mot
from tests.support.detector_messages import walk, written

motmetrics = pytest.importorskip("motmetrics", reason="the test extra installs it")

BOX = (10.0, 20.0, 40.5, 100.0)


def seen(camera: str, time_s: float, name: str, **more: object) -> TrackedBox:
    return TrackedBox(camera, time_s, more.get("box", BOX), more.get("score"), name)  # type: ignore[arg-type]


def test_lines_frames_and_identities_are_those_of_the_format(tmp_path: Path) -> None:
    boxes = [
        seen("b", 100.04, "x", score=0.5),
        seen("a", 100.0, "y"),
        seen("a", 101.0, "x"),
        seen("a", 101.001, "x", score=0.9),  # one of a frame: the more certain one
        seen("a", 102.0, "x", box=None),
    ]
    assert write_mot(tmp_path / "mot", boxes, 25) == MotCounts(3, 1, 1)
    assert (tmp_path / "mot" / "a.txt").read_text() == (
        "1,1,10,20,30.5,80,1,-1,-1,-1\n26,2,10,20,30.5,80,0.9,-1,-1,-1\n"
    )
    assert (tmp_path / "mot" / "b.txt").read_text() == "2,2,10,20,30.5,80,0.5,-1,-1,-1\n"
    with pytest.raises(DataError, match="not empty"):
        write_mot(tmp_path / "mot", boxes, 25)


def test_no_camera_leads_out_of_the_folder_and_no_two_are_one_file() -> None:
    names = file_names(["../../etc/passwd", "a/b", "a_b", "A_B", "..", "", "x" * 300])
    assert len({name.lower() for name in names}) == len(names)
    assert all("/" not in name and not name.startswith(".") and name for name in names)
    assert all(len(name) < 120 for name in names)


def test_motmetrics_reads_what_a_run_writes_and_finds_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the truth of the same boxes: everybody is found, in each camera."""
    # motmetrics 1.4 measures overlap by a name that NumPy 2 has no more.
    monkeypatch.setattr(np, "asfarray", lambda values: np.asarray(values, float), raising=False)
    people = walk()
    lines = [written("scenescape", each) for each in people]
    (tmp_path / "in.jsonl").write_bytes(b"\n".join(lines))
    what = ["run", "--from", str(tmp_path / "in.jsonl"), "--to", str(tmp_path / "out.jsonl")]
    done = CliRunner().invoke(cli, [*what, "--mot", str(tmp_path / "mot"), "--fps", "100"])
    assert done.exit_code == 0, done.output
    truth = [
        TrackedBox(p.camera, p.time_s, tuple(map(float, p.box)), 1.0, f"{p.track}")  # type: ignore[arg-type]
        for p in people
    ]
    write_mot(tmp_path / "truth", truth, 100)
    assert {p.name for p in (tmp_path / "mot").iterdir()} == {"gate.txt", "hall.txt", "lift.txt"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's own, of its pandas
        for camera in ("gate", "hall", "lift"):
            gt, ours = (
                motmetrics.io.loadtxt(str(tmp_path / side / f"{camera}.txt"), fmt="mot15-2D")
                for side in ("truth", "mot")
            )
            scored = motmetrics.utils.compare_to_groundtruth(gt, ours, "iou", distth=0.5)
            summary = motmetrics.metrics.create().compute(scored, metrics=["idf1", "mota"])
            assert float(summary["idf1"].iloc[0]) == 1.0
            assert float(summary["mota"].iloc[0]) == 1.0


def test_a_folder_that_holds_something_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "mot").mkdir()
    (tmp_path / "mot" / "old.txt").write_text("mine")
    what = ["run", "--from", "in.jsonl", "--to", str(tmp_path / "o"), "--mot"]
    done = CliRunner().invoke(cli, [*what, str(tmp_path / "mot")])
    assert done.exit_code == 2
    assert "not empty" in done.output
    assert (tmp_path / "mot" / "old.txt").read_text() == "mine"
