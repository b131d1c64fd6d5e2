"""Data sets in their own layouts, and their clocks."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest

from stgal_stream.errors import DataError
from stgal_stream.evaluation.clocks import market_concatenated_s, market_corrected_s, read_starts
from stgal_stream.evaluation.datasets import load_dataset
from tests.support.places import SHARED_DATA


def put(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"jpeg")


def test_market(tmp_path: Path) -> None:
    put(
        tmp_path,
        "bounding_box_train/0002_c1s1_000451_03.jpg",
        "query/0003_c3s1_000250_00.jpg.jpg",
        "bounding_box_test/-1_c6s2_000025_01.jpg",
        "bounding_box_test/0000_c2s1_000100_01.jpg",
        "bounding_box_test/Thumbs.db",
    )
    images = load_dataset("market1501", tmp_path)
    assert [(i.person, i.camera, i.split) for i in images] == [
        (2, "c1", "train"),
        (0, "c2", "gallery"),
        (3, "c3", "query"),
        (-1, "c6", "gallery"),
    ]
    assert images[0].time_s == pytest.approx((451 - 498) / 25)
    with pytest.raises(DataError, match="no clock"):
        load_dataset("market1501", tmp_path, clock="sundial")


def test_market_other_clocks(tmp_path: Path) -> None:
    put(tmp_path, "query/0001_c1s1_000100_00.jpg", "query/0001_c1s2_000025_00.jpg")
    laid = load_dataset("market1501", tmp_path, clock="concatenated")
    assert [i.time_s for i in laid] == [4.0, 5.0]
    apart = load_dataset("market1501", tmp_path, clock="same-sequence")
    assert apart[1].time_s - apart[0].time_s > 80_000


def test_whoever_is_on_images_of_one_moment_their_order_is_the_same(tmp_path: Path) -> None:
    """Names begin with the person: by them a label would reach the ids of a stream."""
    orders = []
    for root, people in ((tmp_path / "one", (1, 2, 3)), (tmp_path / "two", (3, 1, 2))):
        names = [f"bounding_box_train/{p:04d}_c1s1_000100_00.jpg" for p in people]
        put(root, *names)
        for number, name in enumerate(names):
            (root / name).write_bytes(b"picture %d" % number)
        images = load_dataset("market1501", root, clock="same-sequence")
        orders.append([image.path.read_bytes() for image in images])
    assert orders[0] == orders[1]


def test_duke(tmp_path: Path) -> None:
    put(tmp_path, "query/0001_c2_f0044158.jpg", "bounding_box_test/0002_c8_f0000001.jpg")
    images = load_dataset("duke", tmp_path, clock="official")
    assert {i.camera: i.time_s for i in images} == {
        "c2": pytest.approx((44158 + 3607 - 1) / 59.940059),
        "c8": pytest.approx(46766 / 59.940059),
    }


def test_msmt(tmp_path: Path) -> None:
    name = "0000/0000_000_14_0302noon_0042_0.jpg"
    put(tmp_path, f"test/{name}")
    (tmp_path / "list_query.txt").write_text(f"{name} 0\n")
    (image,) = load_dataset("msmt17", tmp_path, clock="ticks")
    assert image.camera == "c14"
    assert image.time_s == 2 * 86_400 + 12 * 3600 + 42
    assert image.path == tmp_path / "test" / name


@pytest.mark.parametrize("name", ["market1501", "duke", "msmt17"])
def test_an_empty_or_absent_root_is_told(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no image"):
        load_dataset(name, tmp_path)
    with pytest.raises(DataError, match="not a directory"):
        load_dataset(name, tmp_path / "absent")


def test_the_clocks_are_those_of_the_real_metadata() -> None:
    path = SHARED_DATA / "market1501.csv.gz"
    if not path.exists():
        pytest.skip("no ../shared/data/market1501.csv.gz here")
    with gzip.open(path, "rt") as lines:
        table = list(csv.DictReader(lines))
    last: dict[tuple[int, int], int] = {}
    for row in table:
        key = (int(row["camera"]), int(row["sequence"]))
        last[key] = max(last.get(key, 0), int(row["frame"]))
    for row in table:
        camera, sequence, frame = (int(row[n]) for n in ("camera", "sequence", "frame"))
        assert market_corrected_s(camera, sequence, frame, read_starts()) == pytest.approx(
            float(row["est_s"]), abs=0.05
        )
        laid = market_concatenated_s(camera, sequence, frame, last)
        # The published rule has a few offsets of its own, most in camera 4 (600 frames).
        assert laid == pytest.approx(int(row["streid_frame"]) / 25, abs=30 if camera == 4 else 5)
