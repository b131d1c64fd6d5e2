"""Known negatives: tracklets that were in one camera at one time are two people (equation 2)."""

from __future__ import annotations

import numpy as np

from stgal_stream.core.gallery.gallery import Gallery
from stgal_stream.core.gallery.normalisation import Normalisation
from stgal_stream.core.measures.boxes import SAME_BOX_IOU, intersection_over_union
from stgal_stream.types import Floats, Tracklet


def are_known_negatives(first: Tracklet, second: Tracklet) -> bool:
    """Whether the two were in one camera's view at one time and so are two people (equation 2).

    Two boxes over each other in one frame are one person boxed twice, not two people.
    """
    if first.camera != second.camera:
        return False
    if first.start_s > second.end_s or second.start_s > first.end_s:
        return False
    single = first.start_s == first.end_s and second.start_s == second.end_s
    if single and first.box is not None and second.box is not None:
        return intersection_over_union(first.box, second.box) < SAME_BOX_IOU
    return True


def known_negatives(gallery: Gallery, first: int = 0) -> list[tuple[int, int]]:
    """Rows (i, j) of all known negatives from row ``first`` on that can be compared."""
    found = []
    tracklets, comparable = gallery.tracklets[first:], gallery.comparable[first:]
    by_camera: dict[str, list[int]] = {}
    for row in np.flatnonzero(comparable).tolist():
        by_camera.setdefault(tracklets[row].camera, []).append(row)
    for rows in by_camera.values():
        rows.sort(key=lambda r: tracklets[r].start_s)
        active: list[int] = []
        for row in rows:
            active = [r for r in active if tracklets[r].end_s >= tracklets[row].start_s]
            for other in active:
                if are_known_negatives(tracklets[other], tracklets[row]):
                    found.append((first + other, first + row))
            active.append(row)
    return found


def simultaneous_with(gallery: Gallery, number: int) -> set[int]:
    """Numbers of the tracklets that were in the same camera at the same time as one."""
    tracklet = gallery[number]
    rows = np.flatnonzero(
        (gallery.starts_s <= tracklet.end_s)
        & (gallery.ends_s >= tracklet.start_s)
        & (gallery.cameras == gallery.camera_index(tracklet.camera))
    )
    return {int(r) + gallery.first for r in rows} - {number}


def negative_distances(
    gallery: Gallery, pairs: list[tuple[int, int]], normalisation: Normalisation
) -> Floats:
    """Distances (M,) of pairs of rows under a normalisation."""
    rows = np.array(pairs, np.int64).reshape(-1, 2)
    one, other = (
        normalisation.directions(gallery.embeddings[side], gallery.cameras[side]) for side in rows.T
    )
    return np.asarray(np.linalg.norm(one - other, axis=1), dtype=np.float64)
