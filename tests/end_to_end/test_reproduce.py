"""The paper's tables by their command, on a small rendered set in Market's layout."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from stgal_stream.evaluation.datasets import load_dataset
from stgal_stream.experiments.reproduction import ROWS, Asked, Reproduction, Stopped
from stgal_stream.experiments.simulation.schedule import ScheduledPeople, ScheduleRow, write_dataset
from stgal_stream.extractor.onnx import SHIPPED
from stgal_stream.training.export import export, imagenet_format
from stgal_stream.training.from_onnx import network_of
from stgal_stream.training.trainer import TrainingSettings
from tests.support.process import stgal

pytestmark = pytest.mark.training

_FPS = 25


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped extractor on crops of half its size: weaker, and fast."""
    path = tmp_path_factory.mktemp("baseline") / "half.onnx"
    export(network_of(SHIPPED), path, imagenet_format(48, 24), version="half")
    return path


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 people a split who go through three cameras, 40 s and 70 s apart, two boxes in each. The
    first two walk side by side: names of one camera and moment."""
    folder = tmp_path_factory.mktemp("set")
    rng, rows = np.random.default_rng(1), []
    for person in range(1, 61):
        train = person <= 30
        start_s = float(rng.uniform(0, 3000)) + (0 if train else 5000)
        if person != 2:
            passed_s = [start_s + s * float(rng.uniform(0.9, 1.1)) for s in (0.0, 40.0, 110.0)]
        for camera, at_s in enumerate(passed_s, 1):
            for box in (0, 1):
                frame = round((at_s + box) * _FPS)
                name = f"{person:04d}_c{camera}s1_{frame:06d}_0{box}.jpg"
                split = "train" if train else "query" if box else "gallery"
                rows.append(ScheduleRow(name, split, person, f"c{camera}", at_s + box))
    for _ in write_dataset(ScheduledPeople(rows, 3), folder):
        pass
    return folder


def test_table1_has_all_rows_goes_on_and_keeps_no_crop(
    root: Path, baseline: Path, tmp_path: Path
) -> None:
    command = (
        "reproduce", "table1", "--dataset", "market1501", "--root", str(root),
        "--clock", "same-sequence", "--baseline", str(baseline), "--iterations", "1",
        "--batch-pairs", "3", "--out", "out", "--json", "figures.json",
    )  # fmt: skip
    first = stgal(*command, "--row", "baseline_a", cwd=tmp_path)
    assert set(json.loads((tmp_path / "figures.json").read_text())) == {
        "baseline_a", "printed",
    }  # fmt: skip
    assert "ST-GAL (IBBS)" not in first.stdout
    wrong = stgal(*command, "--row", "baseline_c", cwd=tmp_path, check=2)
    assert "has no row baseline_c" in wrong.stderr
    done = stgal(*command, cwd=tmp_path)
    found = json.loads((tmp_path / "figures.json").read_text())
    assert set(found) == {*ROWS["table1"], "printed"}
    for name in ROWS["table1"]:
        row = found[name]
        for score in ("p_v", "p_a"):
            assert all(0 < figure <= 1 for figure in row[score].values())
        if name.count("_") > 1:
            assert row["pairs"]["n"] >= 20, row
            assert row["pairs"]["precision"] > 0.5
            assert len(row["losses"]) == 1
    assert found["baseline_a_st_gal"]["pairs"]["n"] >= found["baseline_a_bbp"]["pairs"]["n"]
    assert found["printed"]["st_gal_gain"]["training"]["rank1"] == pytest.approx(0.206)
    assert "Baseline A, ST-GAL" in done.stdout
    out = tmp_path / "out"
    assert not (out / "stream").exists()
    assert "<svg" in (out / "table1.html").read_text()
    told = (out / "table1.md").read_text()
    assert "| Baseline B |" in told
    assert "3 pairs a batch" in told
    again = stgal(*command, cwd=tmp_path)
    assert json.loads((tmp_path / "figures.json").read_text()) == found
    assert again.stdout == done.stdout
    other = stgal(*command, "--seed", "5", cwd=tmp_path, check=2)
    assert "other settings" in other.stderr
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    theirs = stgal(*command, "--out", "mine", cwd=tmp_path, check=2)
    assert "holds something else" in theirs.stderr


def test_scrambled_identities_give_the_same_models(
    root: Path, baseline: Path, tmp_path: Path
) -> None:
    """No label can reach the training: only what is measured by labels changes. They are changed
    where they come from, in the files' names, two of one camera and moment among them."""
    folder = tmp_path / "renamed"
    shutil.copytree(root, folder, ignore=shutil.ignore_patterns("bounding_box_train"))
    (folder / "bounding_box_train").mkdir()
    train = sorted((root / "bounding_box_train").iterdir())
    others = np.random.default_rng(2).permutation([path.name[:4] for path in train]).tolist()
    for number, (path, other) in enumerate(zip(train, others, strict=True)):
        name = f"{other}{path.stem[4:-2]}{number:03d}.jpg"
        shutil.copyfile(path, folder / "bounding_box_train" / name)
    models = []
    for name, where in (("true", root), ("scrambled", folder)):
        shown = load_dataset("market1501", where, clock="same-sequence")
        few = TrainingSettings(iterations=2, n_pairs=3)
        asked = Asked(shown, baseline, few, few, {})
        rows = Reproduction(asked, tmp_path / name, threading.Event()).run(("baseline_b_st_gal",))
        models.append((tmp_path / name / "baseline_b_st_gal.onnx").read_bytes())
        assert (rows["baseline_b_st_gal"]["pairs"]["precision"] > 0.5) == (name == "true")
    assert models[0] == models[1]


def test_stopped_in_a_training_goes_on_to_the_same_model(
    root: Path, baseline: Path, tmp_path: Path
) -> None:
    asked = Asked(
        load_dataset("market1501", root, clock="same-sequence"),
        baseline,
        TrainingSettings(iterations=3, n_pairs=3),
        TrainingSettings.within_cameras(),
        {},
    )
    stop = threading.Event()

    def say(what: str, done: int, total: int, note: str) -> None:
        if note.startswith("training") and done == 1:
            stop.set()

    with pytest.raises(Stopped):
        Reproduction(asked, tmp_path / "cut", stop, say).run(("baseline_a_st_gal",))
    assert (tmp_path / "cut" / "baseline_a_st_gal.pt").is_file()
    for name in ("cut", "whole"):
        Reproduction(asked, tmp_path / name, threading.Event()).run(("baseline_a_st_gal",))
    one, other = (
        (tmp_path / name / "baseline_a_st_gal.onnx").read_bytes() for name in ("cut", "whole")
    )
    assert one == other
