"""What boxes of one frame hide of each other, beside counting pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgal_stream.core.measures.boxes import visible_shares
from stgal_stream.types import Box

whole = st.integers(0, 12)
boxes = st.builds(
    lambda left, top, wide, high: Box(left, top, left + wide, top + high),
    whole, whole, st.integers(1, 12), st.integers(1, 12),
)  # fmt: skip


def pixels(box: Box) -> set[tuple[int, int]]:
    return {
        (x, y)
        for x in range(int(box.left_px), int(box.right_px))
        for y in range(int(box.top_px), int(box.bottom_px))
    }


@given(st.lists(boxes, min_size=1, max_size=6))
def test_a_share_is_that_of_the_pixels_that_the_worst_nearer_box_leaves(found: list[Box]) -> None:
    for box, share in zip(found, visible_shares(found), strict=True):
        mine = pixels(box)
        hidden = [0.0]
        for other in found:
            theirs = pixels(other)
            is_same = 2 * len(mine & theirs) >= len(mine | theirs)
            if other.bottom_px > box.bottom_px and not is_same:
                hidden.append(len(mine & theirs) / len(mine))
        assert share == pytest.approx(1 - max(hidden))


def test_who_stands_behind_is_hidden_and_not_who_stands_before() -> None:
    behind, before = Box(0, 0, 10, 20), Box(5, 2, 15, 30)
    assert visible_shares([behind, before]).tolist() == [pytest.approx(1 - 5 * 18 / 200), 1.0]
    assert visible_shares([before, behind]).tolist() == [1.0, pytest.approx(1 - 5 * 18 / 200)]
    assert np.all(visible_shares([behind, Box(40, 0, 50, 30)]) == 1.0)
