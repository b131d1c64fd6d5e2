"""Tracked boxes against a ground truth of boxes: our figures beside motmetrics' and TrackEval's,
and each format of a truth."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from stgal_stream.cli import cli
from stgal_stream.errors import ConfigError, DataError
from stgal_stream.evaluation.box_quality import box_quality
from stgal_stream.evaluation.ground_truth import read_ground_truth
from stgal_stream.evaluation.labelled_boxes import LabelledBox, overlaps
from stgal_stream.evaluation.mot_files import read_mot
from tests.support.detector_messages import walk, written

SMALL = 'xtl="0" ytl="0" xbr="1" ybr="1"'


def wide(b: LabelledBox) -> tuple[float, float, float, float]:
    """Left, top, width, height."""
    return b.box[0], b.box[1], b.box[2] - b.box[0], b.box[3] - b.box[1]


def crowd(seed: int, cameras: int = 2, frames: int = 60, people: int = 5) -> list[LabelledBox]:
    """People who wander about and overlap, with gaps."""
    rng = np.random.default_rng(seed)
    found = []
    for camera in range(cameras):
        places = rng.uniform(0, 120, (people, 2))
        for frame in range(1, frames + 1):
            places += rng.normal(0, 4, places.shape)
            for person in np.flatnonzero(rng.random(people) < 0.8):
                left, top = places[person]
                box = (float(left), float(top), float(left) + 40, float(top) + 90)
                found.append(LabelledBox(f"c{camera}", frame, str(person + 1), box))
    return found


def tracked(truth: list[LabelledBox], seed: int) -> list[LabelledBox]:
    """The same, as a tracker sees it: boxes moved, lost and made up; identities switched."""
    rng = np.random.default_rng(seed)
    found, shift = [], 0
    for box in truth:
        shift += rng.random() < 0.02
        if rng.random() < 0.1:
            continue
        left, top, right, bottom = (
            np.array(box.box) + np.repeat(rng.normal(0, 6, 2)[None], 2, 0).ravel()
        )
        name = str(1 + (int(box.person) + shift) % 7)
        found.append(replace(box, person=name, box=(left, top, right, bottom)))
        if rng.random() < 0.05:
            found.append(replace(box, person="99", box=(900.0, 900.0, 950.0, 990.0)))
    # A tracker gives an identity once a frame.
    return list({(b.camera, b.frame, b.person): b for b in found}.values())


@pytest.mark.parametrize("seed", range(6))
def test_the_figures_of_a_camera_are_those_of_motmetrics(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    motmetrics = pytest.importorskip("motmetrics", reason="the test extra installs it")
    monkeypatch.setattr(np, "asfarray", lambda values: np.asarray(values, float), raising=False)
    truth = crowd(seed, cameras=1)
    ours = tracked(truth, seed + 100)
    found = box_quality(ours, truth).identities
    accumulator = motmetrics.MOTAccumulator(auto_id=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's own, of its pandas
        for frame in range(1, 61):
            rows = [[b for b in side if b.frame == frame] for side in (truth, ours)]
            widths = [
                [(*b.box[:2], b.box[2] - b.box[0], b.box[3] - b.box[1]) for b in side]
                for side in rows
            ]
            far = motmetrics.distances.iou_matrix(*widths, max_iou=0.5)
            accumulator.update(*([b.person for b in side] for side in rows), far, frame)
        summary = motmetrics.metrics.create().compute(accumulator, metrics=["idf1", "idp", "idr"])
    theirs = [float(summary[name].iloc[0]) for name in ("idf1", "idp", "idr")]
    assert [found.f1, found.precision, found.recall] == pytest.approx(theirs, abs=1e-12)
    assert 0.1 < found.f1 < 0.9


@pytest.mark.parametrize("seed", range(4))
def test_the_figures_of_all_cameras_are_those_of_trackeval_on_frames_side_by_side(
    seed: int,
) -> None:
    """Several cameras are one film whose frames lie one camera behind the other."""
    trackeval = pytest.importorskip("trackeval", reason="the test extra installs it")
    truth = crowd(seed, cameras=3)
    ours = tracked(truth, seed + 7)
    found = box_quality(ours, truth)
    places = sorted({(b.camera, b.frame) for b in truth + ours})
    sides = [
        {at: [b for b in side if (b.camera, b.frame) == at] for at in places}
        for side in (truth, ours)
    ]
    numbers = [
        {n: k for k, n in enumerate(sorted({b.person for b in side}))} for side in (truth, ours)
    ]
    data = {
        "num_timesteps": len(places),
        "num_gt_ids": len(numbers[0]),
        "num_tracker_ids": len(numbers[1]),
        "num_gt_dets": len(truth),
        "num_tracker_dets": len(ours),
        "gt_ids": [np.array([numbers[0][b.person] for b in sides[0][at]], int) for at in places],
        "tracker_ids": [
            np.array([numbers[1][b.person] for b in sides[1][at]], int) for at in places
        ],
        "similarity_scores": [
            overlaps(*(np.array([b.box for b in side[at]]).reshape(-1, 4) for side in sides))
            for at in places
        ],
    }
    metric = trackeval.metrics.Identity({"PRINT_CONFIG": False, "THRESHOLD": 0.5})
    theirs = metric.eval_sequence(data)
    q = found.identities
    assert [q.f1, q.precision, q.recall] == pytest.approx(
        [theirs["IDF1"], theirs["IDP"], theirs["IDR"]], abs=1e-12
    )
    assert found.n_true == len(truth)
    assert found.across.f1 < 1


def test_overlaps_by_hand() -> None:
    first = np.array([[0.0, 0.0, 2.0, 2.0]])
    second = np.array([[0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 2.0], [2.0, 2.0, 3.0, 3.0]])
    assert overlaps(first, second).tolist() == [[1.0, pytest.approx(1 / 3), 0.0]]


def test_a_match_is_the_closest_of_those_that_leave_nobody_alone() -> None:
    """Two true boxes that both overlap with two tracked ones."""
    near = (
        LabelledBox("c", 1, "1", (0.0, 0.0, 10.0, 10.0)),
        LabelledBox("c", 1, "2", (3.0, 0.0, 13.0, 10.0)),
    )
    ours = [replace(near[0], person="x"), replace(near[1], person="y", box=(-3.0, 0.0, 7.0, 10.0))]
    found = box_quality(ours, near)
    assert found.found == found.right == 1.0  # 2 is only near x, so y is 1's


def test_cameras_that_do_not_meet_are_named() -> None:
    truth = crowd(1)
    ours = [replace(box, camera=f"other-{box.camera}") for box in truth]
    with pytest.raises(DataError, match="no camera is in both: other-c0, other-c1 were tracked"):
        box_quality(ours, truth)
    one = [box for box in ours if box.camera == "other-c0"]
    assert box_quality(one, [b for b in truth if b.camera == "c0"]).identities.f1 == 1.0


# --- files ------------------------------------------------------------------------------------


def as_mot(folder: Path, boxes: list[LabelledBox]) -> Path:
    for camera in {box.camera for box in boxes}:
        (folder / camera / "gt").mkdir(parents=True)
        lines = [
            f"{b.frame}, {b.person}, {', '.join(map(str, wide(b)))}, 1, 1, 0.7\n"
            for b in boxes
            if b.camera == camera
        ]
        # What does not count, and what is no person on foot.
        lines += ["1, 77, 10, 10, 5, 5, 0, 1, 1\n", "\n", "1, 78, 10, 10, 5, 5, 1, 3, 1\n"]
        (folder / camera / "gt" / "gt.txt").write_text("".join(lines))
    return folder


def as_coco(folder: Path, boxes: list[LabelledBox], *, nested: bool, names: bool) -> Path:
    """As CocoVID writes it (frame numbers from 0), or with file names and attributes."""
    cameras = sorted({box.camera for box in boxes})
    places = sorted({(box.camera, box.frame) for box in boxes})
    images = []
    for number, (camera, frame) in enumerate(places):
        image: dict[str, object] = {"id": number, "file_name": f"{camera}/img1/{frame:06d}.jpg"}
        if names:
            image["file_name"] = f"{camera}/{frame:06d}.jpg"
        else:
            image |= {"video_id": cameras.index(camera), "frame_id": frame - 1}
        images.append(image)
    annotations = []
    for number, b in enumerate(boxes):
        left, top, right, bottom = b.box
        thing: dict[str, object] = {
            "id": number,
            "image_id": places.index((b.camera, b.frame)),
            "category_id": 4,
            "bbox": [left, top, right - left, bottom - top],
        }
        thing |= (
            {"attributes": {"track_id": int(b.person)}}
            if nested
            else {"instance_id": int(b.person)}
        )
        annotations.append(thing)
    annotations.append({"id": -1, "image_id": 0, "category_id": 9, "bbox": [1, 1, 2, 2]})  # a car
    made: dict[str, object] = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 4, "name": "Person"}, {"id": 9, "name": "car"}],
    }
    if not names:
        made["videos"] = [{"id": k, "name": camera} for k, camera in enumerate(cameras)]
    path = folder / "truth.json"
    path.write_text(json.dumps(made))
    return path


def as_cvat(folder: Path, boxes: list[LabelledBox], *, named: bool) -> Path:
    folder.mkdir()
    for camera in {box.camera for box in boxes}:
        mine = [box for box in boxes if box.camera == camera]
        lines = ["<annotations><version>1.1</version>"]
        for number, person in enumerate(sorted({box.person for box in mine})):
            lines.append(f'<track id="{number}" label="person" source="manual">')
            for b in mine:
                if b.person == person:
                    place = dict(zip(("xtl", "ytl", "xbr", "ybr"), b.box, strict=True))
                    name = f'<attribute name="person_id">{person}</attribute>' if named else ""
                    lines.append(
                        f'<box frame="{b.frame - 1}" outside="0" keyframe="1" '
                        + " ".join(f'{key}="{value}"' for key, value in place.items())
                        + f">{name}</box>"
                    )
            lines.append(
                '<box frame="999" outside="1" xtl="0" ytl="0" xbr="1" ybr="1"></box></track>'
            )
        lines.append(
            '<track id="9" label="car"><box frame="0" xtl="0" ytl="0" xbr="1" ybr="1"/></track>'
        )
        (folder / f"{camera}.xml").write_text("\n".join([*lines, "</annotations>"]))
    return folder


@pytest.mark.parametrize("kind", ["mot", "coco videos", "coco names", "cvat"])
def test_a_truth_is_the_same_whatever_its_format(kind: str, tmp_path: Path) -> None:
    truth = crowd(3, frames=9)
    path = {
        "mot": lambda: as_mot(tmp_path / "t", truth),
        "coco videos": lambda: as_coco(tmp_path, truth, nested=False, names=False),
        "coco names": lambda: as_coco(tmp_path, truth, nested=True, names=True),
        "cvat": lambda: as_cvat(tmp_path / "t", truth, named=True),
    }[kind]()
    found = read_ground_truth(path)

    def plain(boxes: list[LabelledBox]) -> list[tuple[str, int, str, list[float]]]:
        return sorted((b.camera, b.frame, b.person, [round(x, 6) for x in b.box]) for b in boxes)

    assert plain(found) == plain(truth)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("t.txt", "1,2,3\n", "line 1 is none of a MOTChallenge file"),
        ("t.txt", "1,2,3,4,x,6\n", "line 1"),
        ("t.txt", "1,2,3,4,0,6\n", "no area"),
        ("t.txt", "1,2,nan,4,5,6\n", "no number"),
        ("t.txt", "\n", "shows nobody"),
        ("t.json", "[]", "no COCO file"),
        (
            "t.json",
            '{"images": [], "annotations": [{"image_id": 1, "bbox": [1,2,3,4]}]}',
            "no image 1",
        ),
        (
            "t.json",
            '{"images": [{"id": 1, "frame_id": 3}], '
            '"annotations": [{"image_id": 1, "bbox": [1,2,3,4]}]}',
            "names no track",
        ),
        (
            "t.json",
            '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "car"}]}',
            "no category",
        ),
        ("t.xml", "<annotations><track", "no XML"),
        ("t.xml", "<other/>", "no CVAT file"),
        ("t.xml", '<!DOCTYPE a [<!ENTITY b "c">]><annotations/>', "entities"),
        (
            "t.xml",
            '<annotations><image name="a1"><box label="person"/></image></annotations>',
            "names nobody",
        ),
        ("t.avi", "film", "no ground truth that is known"),
    ],
)
def test_a_truth_that_cannot_be_read_says_why(
    name: str, content: str, told: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=told):
        read_ground_truth(tmp_path / name)


def test_tracks_of_two_cvat_files_are_not_taken_for_one_person(tmp_path: Path) -> None:
    path = as_cvat(tmp_path / "t", crowd(1, frames=3), named=False)
    with pytest.raises(DataError, match="another person in each file"):
        read_ground_truth(path)
    assert read_ground_truth(path / "c0.xml")


def test_a_run_is_scored_from_end_to_end(tmp_path: Path) -> None:
    """The tracker's own files against a truth whose first frame lies before the first detection."""
    people = walk()
    (tmp_path / "in.jsonl").write_bytes(b"\n".join(written("scenescape", p) for p in people))
    begin_s = min(p.time_s for p in people) - 2
    start = f"{begin_s:.3f}"
    what = ["run", "--from", str(tmp_path / "in.jsonl"), "--to", str(tmp_path / "out.jsonl")]
    what += ["--mot", str(tmp_path / "mot"), "--fps", "100", "--first-frame", start]
    assert CliRunner().invoke(cli, what).exit_code == 0
    truth = []
    for p in people:
        left, top, right, bottom = map(float, p.box)
        frame = 1 + round((p.time_s - begin_s) * 100)
        truth.append(LabelledBox(p.camera, frame, str(p.track), (left, top, right, bottom)))
    as_mot(tmp_path / "truth", truth)
    scored = ["evaluate", "--mot", str(tmp_path / "mot"), "--truth", str(tmp_path / "truth")]
    done = CliRunner().invoke(cli, [*scored, "--json", str(tmp_path / "q.json")])
    assert done.exit_code == 0, done.output
    quality = json.loads((tmp_path / "q.json").read_text())
    assert quality["identities"]["f1"] == 1.0
    assert quality["across"]["f1"] == 1.0
    assert "all cameras together" in done.output
    wrong = CliRunner().invoke(cli, scored[:3])
    assert isinstance(wrong.exception, ConfigError)
    assert "need --truth" in str(wrong.exception)
    assert read_mot(tmp_path / "mot", is_truth=False)
