"""The protocol against hand-worked cases and a second implementation written another way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stgal_stream.core.measures.best_buddies import best_buddies
from stgal_stream.evaluation.retrieval import Ranking
from tests.support.walked_best_buddies import walked_best_buddies


def naive(
    scores: NDArray[np.float64], person: list[int], camera: list[int], who: int, where: int
) -> tuple[int, float, float] | None:
    """Rank of the first match, AP and INP, image by image through a sorted list."""
    kept = [
        (-scores[i], i, person[i] == who)
        for i in range(len(person))
        if person[i] != -1 and not (person[i] == who and camera[i] == where)
    ]
    hits = [match for _, _, match in sorted(kept)]
    if who <= 0 or not any(hits):
        return None
    total = sum(hits)
    seen, ap, last = 0, 0.0, 0
    for position, match in enumerate(hits, start=1):
        if match:
            seen += 1
            ap += seen / position / total
            last = position
    return hits.index(True), ap, total / last


gallery = st.lists(
    st.tuples(st.integers(-1, 4), st.integers(0, 2), st.integers(0, 5)), min_size=1, max_size=30
)


@settings(max_examples=300)
@given(gallery, st.lists(st.tuples(st.integers(-1, 4), st.integers(0, 2)), min_size=1, max_size=5))
def test_ranking_equals_a_second_implementation(
    rows: list[tuple[int, int, int]], queries: list[tuple[int, int]]
) -> None:
    person, camera = [r[0] for r in rows], [r[1] for r in rows]
    scores = np.array([r[2] for r in rows], float)  # whole numbers: ties are the rule
    ranking = Ranking(np.array(person), np.array(camera))
    wanted = []
    for who, where in queries:
        found = naive(scores, person, camera, who, where)
        got = ranking.add(scores, who, where)
        assert (got is None) == (found is None)
        if found is not None:
            wanted.append(found)
    if not wanted:
        with pytest.raises(ValueError, match="no query has a match"):
            ranking.result()
        return
    result = ranking.result()
    assert result.n_queries == len(wanted)
    assert result.rank(1) == pytest.approx(np.mean([first == 0 for first, _, _ in wanted]))
    assert result.rank(5) == pytest.approx(np.mean([first < 5 for first, _, _ in wanted]))
    assert result.mAP == pytest.approx(np.mean([ap for _, ap, _ in wanted]))
    assert result.mINP == pytest.approx(np.mean([inp for _, _, inp in wanted]))


def test_a_hand_worked_query() -> None:
    # By score: junk (out), same person same camera (out), distractor, match, stranger, match.
    person = np.array([-1, 7, 0, 7, 9, 7])
    camera = np.array([1, 0, 1, 1, 1, 2])
    ranking = Ranking(person, camera)
    ranks = ranking.add(np.array([9.0, 8.0, 7.0, 6.0, 5.0, 4.0]), 7, 0)
    assert ranks is not None
    assert ranks.tolist() == [1, 3]
    result = ranking.result()
    assert result.rank(1) == 0.0
    assert result.rank(5) == 1.0
    assert result.mAP == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert result.mINP == pytest.approx(2 / 4)


@settings(max_examples=300)
@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 2**32 - 1), st.booleans())
def test_pairs_of_a_matrix_equal_the_walk(n: int, m: int, seed: int, iterated: bool) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 4, (n, m)).astype(float)  # ties and zeros
    whole = np.zeros((n + m, n + m))
    whole[:n, n:], whole[n:, :n] = scores, scores.T
    wanted = walked_best_buddies(whole, [0] * n + [1] * m, iterated=iterated)
    with np.errstate(divide="ignore"):
        found = best_buddies(np.log(scores), iterated=iterated)
    assert {(i, j + n) for i, j in found.tolist()} == wanted
