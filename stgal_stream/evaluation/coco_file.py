"""Who is where, of a COCO file with tracks.

Source: cocodataset.org, "Data format" (images, annotations, categories; ``bbox`` is left, top,
width, height). COCO itself has no tracks. What writes them: ``track_id`` beside the box (TAO;
mmtrack's CocoVID: ``instance_id``, ``videos`` and ``frame_id``), or in ``attributes`` (CVAT's
export).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from stgal_stream.errors import DataError
from stgal_stream.evaluation.labelled_boxes import LabelledBox, bytes_of, corners

_PERSON = ("person_id", "global_id", "identity", "track_id", "instance_id")
_FRAME = ("frame_id", "frame_index", "frame")
_PEOPLE = frozenset({"person", "pedestrian", "human", "people"})
_LAST_NUMBER = re.compile(r"(\d+)\D*$")


class _Annotation(msgspec.Struct):
    image_id: int | str
    bbox: tuple[float, float, float, float]
    category_id: int | str | None = None
    attributes: dict[str, Any] = {}
    iscrowd: int = 0
    person_id: int | str | None = None
    global_id: int | str | None = None
    identity: int | str | None = None
    track_id: int | str | None = None
    instance_id: int | str | None = None


class _Coco(msgspec.Struct):
    images: list[dict[str, Any]]
    annotations: list[_Annotation]
    categories: list[dict[str, Any]] = []
    videos: list[dict[str, Any]] = []


def read_coco(path: Path) -> list[LabelledBox]:
    """The boxes of people. A camera is a video, else the folder of its images, else the file.
    Frames count from 1: where the file has a frame 0, one is added to each.

    Raises:
        DataError: it is no such file, or an annotation of a person names no track.
    """
    try:
        coco = msgspec.json.decode(bytes_of(path), type=_Coco)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path} is no COCO file: {error}") from error
    people = {c.get("id") for c in coco.categories if str(c.get("name")).lower() in _PEOPLE}
    if coco.categories and not people:
        names = ", ".join(str(c.get("name")) for c in coco.categories[:8])
        raise DataError(f"{path} has no category of people: {names}")
    videos = {v.get("id"): str(v.get("name", v.get("id"))) for v in coco.videos}
    images = {image.get("id"): image for image in coco.images}
    first = min((_frame(image, str(path)) for image in coco.images), default=1)
    found = []
    for number, thing in enumerate(coco.annotations):
        where = f"{path}, annotation {number}"
        if thing.iscrowd or (people and thing.category_id not in people):
            continue
        image = images.get(thing.image_id)
        if image is None:
            raise DataError(f"{where}: there is no image {thing.image_id!r}")
        found.append(
            LabelledBox(
                _camera(image, videos, path),
                _frame(image, where) + (first == 0),
                _person(thing, where),
                corners(*thing.bbox, where),
            )
        )
    return found


def _camera(image: Mapping[str, Any], videos: Mapping[Any, str], path: Path) -> str:
    name = videos.get(image.get("video_id"))
    if name is not None:
        return PurePosixPath(name).stem
    folder = PurePosixPath(str(image.get("file_name", ""))).parent.name
    return folder or path.stem


def _frame(image: Mapping[str, Any], where: str) -> int:
    for key in _FRAME:
        if isinstance(value := image.get(key), int):
            return value
    number = _LAST_NUMBER.search(PurePosixPath(str(image.get("file_name", ""))).stem)
    if number is None:
        raise DataError(f"{where}: neither {', '.join(_FRAME)} nor the file name tells its frame")
    return int(number[1])


def _person(thing: _Annotation, where: str) -> str:
    given: Iterable[Any] = (getattr(thing, key) for key in _PERSON)
    inside: Iterable[Any] = (thing.attributes.get(key) for key in _PERSON)
    person = next((value for value in (*given, *inside) if value is not None), None)
    if person is None:
        raise DataError(
            f"{where}: it names no track, so nobody can be followed",
            hint=f"one of {', '.join(_PERSON)}, beside `bbox` or in `attributes`",
        )
    return str(person)
