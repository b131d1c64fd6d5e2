"""Person re-identification data sets in their own layouts -> images with a person and a time."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stgal_stream.errors import DataError
from stgal_stream.evaluation.clocks import (
    duke_s,
    market_concatenated_s,
    market_corrected_s,
    market_same_sequence_s,
    msmt_s,
    read_starts,
)

MARKET_CLOCKS = ("corrected", "concatenated", "same-sequence")
SPLITS = ("train", "query", "gallery")


@dataclass(frozen=True, slots=True)
class DatasetImage:
    """One image. ``person`` is 0 for a distractor and -1 for junk; ``time_s`` is seconds on the
    data set's clock."""

    path: Path
    split: str
    person: int
    camera: str
    time_s: float


_MARKET_NAME = re.compile(r"(-?\d+)_c(\d+)s(\d+)_(\d+)_(\d+)(\.jpg)+$")
_DUKE_NAME = re.compile(r"(\d+)_c(\d+)_f(\d+)(\.jpg)+$")
_MSMT_NAME = re.compile(r"(\d+)_(\d+)_(\d+)_([0-9a-z]+)_(\d+)_(\d+)(_\d+)?\.jpg$")
_MARKET_FOLDERS = {
    "train": "bounding_box_train",
    "query": "query",
    "gallery": "bounding_box_test",
}
_MSMT_LISTS = {
    "train": ("list_train.txt", "train"),
    "query": ("list_query.txt", "test"),
    "gallery": ("list_gallery.txt", "test"),
}


def load_dataset(
    name: str, root: Path, *, clock: str = "corrected", starts: Path | None = None
) -> list[DatasetImage]:
    """All images in order of time. ``starts`` is a file of sequence starts for Market's corrected
    clock; without it the shipped one holds.

    Raises:
        DataError: ``root`` is not that data set, or the clock is not one of its clocks.
    """
    if starts is not None and (name, clock) != ("market1501", "corrected"):
        raise DataError("sequence starts are for Market-1501's corrected clock alone")
    loaders: dict[str, Callable[[Path, str], list[DatasetImage]]] = {
        "market1501": lambda path, which: _market(path, which, starts),
        "duke": _duke,
        "msmt17": _msmt,
    }
    if not root.is_dir():
        raise DataError(f"{root} is not a directory", hint=f"--root is where {name} was unpacked")
    images = loaders[name](root, clock)
    if not images:
        raise DataError(
            f"{root} holds no image of {name}",
            hint=f"expected {', '.join(_MARKET_FOLDERS.values())} in it"
            if name != "msmt17"
            else "expected list_train.txt, list_query.txt and list_gallery.txt in it",
        )
    return _in_order(images)


def _in_order(images: list[DatasetImage]) -> list[DatasetImage]:
    """By time, camera and picture, not by name: it says who is on it, and no label may reach a
    stream's order, ids or training."""
    when = Counter((image.time_s, image.camera) for image in images)

    def key(image: DatasetImage) -> tuple[float, str, bytes]:
        is_alone = when[image.time_s, image.camera] == 1
        return image.time_s, image.camera, b"" if is_alone else _digest(image.path)

    return sorted(images, key=key)


def _digest(path: Path) -> bytes:
    """Of what the file holds; of nothing if it cannot be read, which whoever reads it will say."""
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return b""


def _market(root: Path, clock: str, starts: Path | None) -> list[DatasetImage]:
    if clock not in MARKET_CLOCKS:
        raise DataError(f"Market-1501 has no clock {clock!r}", hint=", ".join(MARKET_CLOCKS))
    found = []
    first = read_starts(starts) if starts is not None else read_starts()
    last: dict[tuple[int, int], int] = {}
    for split, path in _folder_images(root):
        match = _MARKET_NAME.match(path.name)
        if match is None:
            continue
        person, camera, sequence, frame = (int(match.group(i)) for i in range(1, 5))
        last[camera, sequence] = max(last.get((camera, sequence), 0), frame)
        found.append((split, path, person, camera, sequence, frame))

    def time_s(camera: int, sequence: int, frame: int) -> float:
        if clock == "corrected":
            return market_corrected_s(camera, sequence, frame, first)
        if clock == "concatenated":
            return market_concatenated_s(camera, sequence, frame, last)
        return market_same_sequence_s(sequence, frame)

    return [
        DatasetImage(path, split, person, f"c{camera}", time_s(camera, sequence, frame))
        for split, path, person, camera, sequence, frame in found
    ]


def _duke(root: Path, clock: str) -> list[DatasetImage]:
    if clock not in ("corrected", "official"):
        raise DataError(f"DukeMTMC-reID has no clock {clock!r}", hint="official")
    found = []
    for split, path in _folder_images(root):
        match = _DUKE_NAME.match(path.name)
        if match is not None:
            person, camera, frame = (int(match.group(i)) for i in range(1, 4))
            found.append(DatasetImage(path, split, person, f"c{camera}", duke_s(camera, frame)))
    return found


def _msmt(root: Path, clock: str) -> list[DatasetImage]:
    if clock not in ("corrected", "ticks"):
        raise DataError(f"MSMT17 has no clock {clock!r}", hint="ticks")
    found = []
    for split, (list_name, folder) in _MSMT_LISTS.items():
        listing = root / list_name
        if not listing.is_file():
            continue
        base = next((root / n for n in (folder, f"mask_{folder}_v2") if (root / n).is_dir()), root)
        for line in listing.read_text().splitlines():
            name, _, person = line.strip().rpartition(" ")
            match = _MSMT_NAME.search(name)
            if match is not None and person.isdigit():
                # Train and test number their people apart; together they must not collide.
                label = int(person) + 1 + (0 if split == "train" else 100_000)
                time_s = msmt_s(match.group(4), int(match.group(5)))
                camera = f"c{int(match.group(3))}"
                found.append(DatasetImage(base / name, split, label, camera, time_s))
    return found


def _folder_images(root: Path) -> list[tuple[str, Path]]:
    return [
        (split, path)
        for split, folder in _MARKET_FOLDERS.items()
        if (root / folder).is_dir()
        for path in sorted((root / folder).iterdir())
    ]
