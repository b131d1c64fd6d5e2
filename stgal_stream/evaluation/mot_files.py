"""Who was where, as MOTChallenge files: one a camera, one line a box.

Source: motchallenge.net, "Submission format": frame (from 1), identity (from 1), left, top, width,
height, confidence, and three times -1. TrackEval and motmetrics read them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stgal_stream.errors import DataError

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
    """Lines written, and boxes left out: without a box, or a second one of an identity in a
    frame."""

    written: int
    without_box: int
    twice: int


def write_mot(folder: Path, boxes: Sequence[TrackedBox], fps: float) -> MotCounts:
    """Writes ``CAMERA.txt`` for each camera. Frame 1 is the earliest box's of all cameras, so that
    frames of two cameras are of one time. Identities have the same numbers in all files.

    Raises:
        DataError: the folder holds something already, or cannot be written.
    """
    placed = sorted(
        (seen for seen in boxes if seen.box is not None),
        key=lambda seen: (seen.time_s, seen.camera, seen.global_id),
    )
    numbers: dict[str, int] = {}
    lines: dict[str, dict[tuple[int, int], TrackedBox]] = defaultdict(dict)
    for seen in placed:
        frame = 1 + round((seen.time_s - placed[0].time_s) * fps)
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
    return MotCounts(n_written, len(boxes) - len(placed), len(placed) - n_written)


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
