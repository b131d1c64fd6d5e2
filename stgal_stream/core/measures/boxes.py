"""Bounding boxes: how much two of them overlap."""

from __future__ import annotations

from stgal_stream.types import Box

# The usual limit of detection benchmarks (PASCAL VOC): above it two boxes show one thing.
SAME_BOX_IOU = 0.5


def intersection_over_union(first: Box, second: Box) -> float:
    """Shared area of two boxes over their joint area, 0 to 1."""
    wide = min(first.right_px, second.right_px) - max(first.left_px, second.left_px)
    high = min(first.bottom_px, second.bottom_px) - max(first.top_px, second.top_px)
    if wide <= 0 or high <= 0:
        return 0.0
    areas = [(b.right_px - b.left_px) * (b.bottom_px - b.top_px) for b in (first, second)]
    return wide * high / (areas[0] + areas[1] - wide * high)
