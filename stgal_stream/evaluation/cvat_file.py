"""Who is where, of CVAT's own XML.

Source: docs.cvat.ai, "XML annotation format" 1.1: for video ``track`` with a ``box`` a frame
(``outside="1"``: out of sight), for images ``image`` with boxes. Its frames count from 0, ours
from 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from stgal_stream.errors import DataError
from stgal_stream.evaluation.labelled_boxes import LabelledBox, bytes_of, corners

_PERSON = ("person_id", "global_id", "identity", "track_id", "id")
_PEOPLE = frozenset({"person", "pedestrian", "human", "people"})


def read_cvat(path: Path) -> list[LabelledBox]:
    """The boxes of people in one file, which is one camera's, or in a folder of them. A person of
    several cameras is known by an attribute (person_id, global_id, identity, track_id, id).

    Raises:
        DataError: it is no such file, or names of people in two cameras cannot be compared.
    """
    files = sorted(path.glob("*.xml")) if path.is_dir() else [path]
    found, by_number = [], 0
    for file in files:
        for box, is_named in _boxes(file):
            found.append(box)
            by_number += not is_named
    if by_number and len(files) > 1:
        raise DataError(
            f"{path}: {by_number} boxes are named by their track's number, which means another "
            "person in each file",
            hint=f"give people an attribute in CVAT: one of {', '.join(_PERSON)}",
        )
    return found


def _boxes(file: Path) -> Iterator[tuple[LabelledBox, bool]]:
    """Each with whether an attribute names the person."""
    content = bytes_of(file)
    if b"<!ENTITY" in content:
        raise DataError(f"{file} defines XML entities, which CVAT does not")
    try:
        root = ElementTree.fromstring(content)  # noqa: S314  # without entities it is plain data
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise DataError(f"{file} is no XML: {error}") from error
    if root.tag != "annotations":
        raise DataError(f"{file} is no CVAT file: it holds <{root.tag}>, not <annotations>")
    for track in root.iter("track"):
        if _is_person(track):
            for box in track.iter("box"):
                if box.get("outside") != "1":
                    person = _named(box) or _named(track)
                    frame = box.get("frame", "")
                    number = track.get("id", "")
                    yield _labelled(file, frame, person or number, box), person is not None
    for image in root.iter("image"):
        for box in filter(_is_person, image.iter("box")):
            person = _named(box)
            if person is None:
                raise DataError(
                    f"{file}, image {image.get('name')!r}: a box names nobody",
                    hint=f"give it an attribute in CVAT: one of {', '.join(_PERSON)}",
                )
            yield _labelled(file, image.get("id", ""), person, box), True


def _is_person(element: ElementTree.Element) -> bool:
    return element.get("label", "").lower() in _PEOPLE


def _named(element: ElementTree.Element) -> str | None:
    """What an attribute says of who it is."""
    given = {a.get("name", "").lower(): (a.text or "").strip() for a in element.iter("attribute")}
    return next((given[key] for key in _PERSON if given.get(key)), None)


def _labelled(file: Path, frame: str, person: str, box: ElementTree.Element) -> LabelledBox:
    where = f"{file}, frame {frame}"
    try:
        left, top, right, bottom = (float(box.get(key, "")) for key in ("xtl", "ytl", "xbr", "ybr"))
        number = int(frame)
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error
    corner = corners(left, top, right - left, bottom - top, where)
    return LabelledBox(file.stem, number + 1, person, corner)
