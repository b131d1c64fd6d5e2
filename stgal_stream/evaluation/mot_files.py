"""Who was where, as MOTChallenge files: one a camera, one line a box.

Source: motchallenge.net, "Submission format": frame (from 1), identity (from 1), left, top, width,
height, confidence, and three times -1. TrackEval and motmetrics read them. In a ground truth
(MOT16, section 3.3) the seventh number says whether a box counts, the eighth what it is: 1 is a
person on foot. Numbers of people are one over all files, as in what we write.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stgal_stream.errors import DataError
from stgal_stream.evaluation.labelled_boxes import LabelledBox, bytes_of, corners

_ON_FOOT = (1, -1)  # the class of a person, and what files without classes write in its place
_UNFIT = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, slots=True)
class TrackedBox:
    """A box and whose it is; ``box`` is left, top, right, bottom, None where none came."""

    camera: str
    time_s: float
    box: tuple[float, float, float, float] | None
    confidence: float | None
    global_id: str


@dataclass(frozen=True, slots=True)
class MotCounts:
    """Lines written, and boxes left out: without a box, a second one of an identity in a frame, or
    before frame 1."""

    written: int
    without_box: int
    twice: int
    before: int = 0


def write_mot(
    folder: Path, boxes: Sequence[TrackedBox], fps: float, frame_1_s: float | None = None
) -> MotCounts:
    """Writes ``CAMERA.txt`` for each camera. Frame 1 is at ``frame_1_s`` (Unix seconds), or at the
    earliest box's time of all cameras, so that frames of two cameras are of one time. Identities
    have the same numbers in all files. Boxes before frame 1 are left out.

    Raises:
        DataError: the folder holds something already, or cannot be written.
    """
    placed = sorted(
        (seen for seen in boxes if seen.box is not None),
        key=lambda seen: (seen.time_s, seen.camera, seen.global_id),
    )
    begin_s = placed[0].time_s if frame_1_s is None and placed else frame_1_s or 0.0
    n_placed = len(placed)
    placed = [seen for seen in placed if round((seen.time_s - begin_s) * fps) >= 0]
    numbers: dict[str, int] = {}
    lines: dict[str, dict[tuple[int, int], TrackedBox]] = defaultdict(dict)
    for seen in placed:
        frame = 1 + round((seen.time_s - begin_s) * fps)
        at = frame, numbers.setdefault(seen.global_id, len(numbers) + 1)
        other = lines[seen.camera].get(at)
        if other is None or (seen.confidence or 0.0) > (other.confidence or 0.0):
            lines[seen.camera][at] = seen
    n_written = sum(len(found) for found in lines.values())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise DataError(f"{folder} is not empty", hint="name a new folder")
        for camera, name in zip(lines, file_names(list(lines)), strict=True):
            with (folder / f"{name}.txt").open("w") as out:
                out.writelines(_line(at, seen) for at, seen in sorted(lines[camera].items()))
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error.strerror}") from error
    return MotCounts(
        n_written, len(boxes) - n_placed, len(placed) - n_written, n_placed - len(placed)
    )


def file_names(cameras: Sequence[str]) -> list[str]:
    """A file's name for each camera: no way out of the folder, and no two alike."""
    found: list[str] = []
    for camera in cameras:
        name = _UNFIT.sub("_", camera).lstrip(".")[:100] or "_"
        number, free = 1, name
        while free.lower() in {other.lower() for other in found}:
            number += 1
            free = f"{name}-{number}"
        found.append(free)
    return found


def _line(at: tuple[int, int], seen: TrackedBox) -> str:
    assert seen.box is not None
    left, top, right, bottom = seen.box
    score = 1.0 if seen.confidence is None else seen.confidence
    place = ",".join(f"{value:.6g}" for value in (left, top, right - left, bottom - top))
    return f"{at[0]},{at[1]},{place},{score:.6g},-1,-1,-1\n"


def read_mot(path: Path, *, is_truth: bool) -> list[LabelledBox]:
    """The boxes in one file, or in a folder of them: ``CAMERA.txt``, or ``CAMERA/gt/gt.txt`` as
    MOTChallenge lays out its sequences. Of a truth those of people that count.

    Raises:
        DataError: there is no such file, or a line is none of the format.
    """
    if not path.is_dir():
        return _read_camera(path, is_truth)
    files = sorted(path.glob("*.txt")) or sorted(path.glob("*/gt/gt.txt"))
    if not files:
        raise DataError(f"{path} holds neither CAMERA.txt nor CAMERA/gt/gt.txt")
    return [box for file in files for box in _read_camera(file, is_truth)]


def _read_camera(file: Path, is_truth: bool) -> list[LabelledBox]:
    is_sequence = file.name == "gt.txt" and file.resolve().parent.name == "gt"
    camera = file.resolve().parent.parent.name if is_sequence else file.stem
    found = []
    for number, line in enumerate(bytes_of(file).decode(errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        where = f"{file}, line {number}"
        try:
            values = [float(value) for value in line.replace(",", " ").split()]
            frame, person = int(values[0]), int(values[1])
            left, top, width, height = values[2:6]
        except (ValueError, OverflowError, IndexError) as error:
            raise DataError(f"{where} is none of a MOTChallenge file: {line[:60]!r}") from error
        if is_truth and not _counts(values):
            continue
        box = corners(left, top, width, height, where)
        found.append(LabelledBox(camera, frame, str(person), box))
    return found


def _counts(values: Sequence[float]) -> bool:
    """Whether a line of a truth is of a person that counts. With ten numbers it is of MOT15, whose
    eighth is a place in the world."""
    has_class = 8 <= len(values) <= 9
    return (len(values) < 7 or values[6] != 0) and (not has_class or values[7] in _ON_FOOT)
