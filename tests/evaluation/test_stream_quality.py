"""Figures of a stream's identities against brute force and cases worked by hand."""

from __future__ import annotations

from itertools import combinations, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgal_stream.evaluation.stream_quality import idf1, pair_quality, shared_at_once

rows = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=12
)


@given(rows, st.booleans())
def test_pairs_equal_brute_force(stream: list[tuple[int, int, int]], across: bool) -> None:
    found = right = true = 0
    for (i, p, c), (j, q, d) in combinations(stream, 2):
        if (c != d) == across:
            found += i == j
            true += p == q
            right += i == j and p == q
    quality = pair_quality(*zip(*stream, strict=True), across_cameras=across)
    assert quality.precision == (right / found if found else 1.0)
    assert quality.recall == (right / true if true else 1.0)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=10))
def test_idf1_equals_the_best_of_all_matchings(stream: list[tuple[int, int]]) -> None:
    matched = max(sum(chosen[i] == p for i, p in stream) for chosen in permutations(range(4)))
    assert idf1(*zip(*stream, strict=True)) == pytest.approx(matched / len(stream))


def test_strangers_count_only_where_they_are_mixed_in() -> None:
    # Identity A holds person 1 twice and a stranger; B holds only a stranger.
    assert idf1(["A", "A", "A", "B"], [1, 1, None, None]) == pytest.approx(4 / 5)


def test_nothing_to_find_is_perfect() -> None:
    assert idf1([], []) == 1.0
    assert pair_quality([], [], []).f1 == 1.0


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.one_of(st.none(), st.integers(0, 3)),
            st.integers(0, 1),
            st.integers(0, 2),
        ),
        max_size=30,
    )
)
def test_who_is_at_once_equals_brute_force(
    stream: list[tuple[int, int | None, int, int]],
) -> None:
    pairs = [
        (a, b)
        for i, a in enumerate(stream)
        for b in stream[:i]
        if a[2:] == b[2:] and a[1] is not None and b[1] is not None and a[1] != b[1]
    ]
    columns = [list(column) for column in zip(*stream, strict=True)] or [[], [], [], []]
    assert shared_at_once(*columns) == (len(pairs), sum(a[0] == b[0] for a, b in pairs))
