"""Appearance: distances, the visual probability (equation 1), known negatives (equations 2, 3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stgal_stream.types import Box, Tracklet

SAME_BOX_IOU = 0.5


def distances(
    queries: NDArray[np.float32],
    gallery: NDArray[np.float32],
    squares: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Euclidean distances, (Q, D) x (G, D) -> (Q, G) float32. ``squares`` are the gallery's
    squared lengths (G,) where they are known already."""
    squared = queries @ gallery.T
    squared *= -2.0
    squared += np.einsum("qd,qd->q", queries, queries)[:, None]
    squared += (np.einsum("gd,gd->g", gallery, gallery) if squares is None else squares)[None, :]
    np.maximum(squared, 0.0, out=squared)
    result: NDArray[np.float32] = np.sqrt(squared, out=squared)
    return result


def visual_probability(distance: ArrayLike, alpha: float) -> NDArray[np.float64]:
    """P_v = exp(-alpha d) (equation 1). The paper's alpha is 0.01."""
    return np.exp(-alpha * np.asarray(distance, dtype=np.float64))


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


def intersection_over_union(first: Box, second: Box) -> float:
    """Shared area of two boxes over their joint area, 0 to 1."""
    wide = min(first.right_px, second.right_px) - max(first.left_px, second.left_px)
    high = min(first.bottom_px, second.bottom_px) - max(first.top_px, second.top_px)
    if wide <= 0 or high <= 0:
        return 0.0
    areas = [(b.right_px - b.left_px) * (b.bottom_px - b.top_px) for b in (first, second)]
    return wide * high / (areas[0] + areas[1] - wide * high)


def threshold(negatives: ArrayLike) -> float:
    """Sigma (equation 3): the largest P_v of a known negative; 1 where there is none, since then
    nothing says how alike two people can be."""
    values = np.asarray(negatives, dtype=np.float64)
    return float(values.max()) if values.size else 1.0
