"""Bounding boxes: how much two of them overlap, what they hide of each other, and how far those of
one thing move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from stgal_stream.types import Box, Floats

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


def visible_shares(boxes: Sequence[Box]) -> Floats:
    """Of each box of one frame (N,) the share that no box nearer to the camera hides, 0 to 1.

    Of two people who stand on one floor the nearer one's feet are lower in the picture. What
    several hide together counts as what the one does that hides most. Two boxes of one thing do not
    hide each other.
    """
    left, top, right, bottom = np.array(
        [(b.left_px, b.top_px, b.right_px, b.bottom_px) for b in boxes]
    ).T
    areas = (right - left) * (bottom - top)
    shares = np.ones(len(boxes))
    for row in range(len(boxes)):
        wide = np.minimum(right, right[row]) - np.maximum(left, left[row])
        high = np.minimum(bottom, bottom[row]) - np.maximum(top, top[row])
        shared = np.clip(wide, 0.0, None) * np.clip(high, 0.0, None)
        same = shared >= SAME_BOX_IOU * (areas + areas[row] - shared)
        hidden = np.where((bottom > bottom[row]) & ~same, shared, 0.0)
        shares[row] = 1.0 - hidden.max() / areas[row]
    return shares


@dataclass(frozen=True, slots=True)
class BoxMoments:
    """Of ``n`` boxes the sums of their sides (left, top, right, bottom) and of the squares, (4,)
    each, in pixels."""

    n: int = 0
    total: Floats = field(default_factory=lambda: np.zeros(4))
    squares: Floats = field(default_factory=lambda: np.zeros(4))

    @classmethod
    def of(cls, box: Box | None) -> BoxMoments:
        """Of one box, or of none."""
        if box is None:
            return cls()
        sides = np.array((box.left_px, box.top_px, box.right_px, box.bottom_px))
        return cls(1, sides, sides * sides)

    def __add__(self, other: BoxMoments) -> BoxMoments:
        return BoxMoments(self.n + other.n, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> Box:
        """The mean box; asked only where there is one."""
        return Box(*(self.total / self.n).tolist())

    @property
    def spread(self) -> float:
        """The largest standard deviation of a side, in widths (left, right) or heights (top,
        bottom) of the mean box. 0 where there is no box."""
        if not self.n:
            return 0.0
        mean = self.total / self.n
        variance = np.maximum(self.squares / self.n - mean * mean, 0.0)
        size = np.tile(mean[2:] - mean[:2], 2)
        return float((np.sqrt(variance) / size).max())
