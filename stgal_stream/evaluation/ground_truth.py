"""A ground truth of boxes, of whichever format it is."""

from __future__ import annotations

from pathlib import Path

from stgal_stream.errors import DataError
from stgal_stream.evaluation.coco_file import read_coco
from stgal_stream.evaluation.cvat_file import read_cvat
from stgal_stream.evaluation.labelled_boxes import LabelledBox
from stgal_stream.evaluation.mot_files import read_mot


def read_ground_truth(path: Path) -> list[LabelledBox]:
    """MOTChallenge (a folder or a ``.txt``), COCO (``.json``) or CVAT (``.xml``, or a folder of
    them).

    Raises:
        DataError: it is none of these, cannot be read, or shows nobody.
    """
    if path.suffix.lower() == ".xml" or (path.is_dir() and any(path.glob("*.xml"))):
        found = read_cvat(path)
    elif path.suffix.lower() == ".json":
        found = read_coco(path)
    elif path.is_dir() or path.suffix.lower() == ".txt":
        found = read_mot(path, is_truth=True)
    else:
        raise DataError(
            f"{path} is no ground truth that is known",
            hint="a MOTChallenge folder or .txt, COCO .json, CVAT .xml or a folder of them",
        )
    if not found:
        raise DataError(f"{path} shows nobody")
    return found
