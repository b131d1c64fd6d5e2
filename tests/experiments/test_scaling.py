"""A site in parts: who owns a camera, who reads it, and how parts agree on who is who."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stgal_stream.evaluation.stream_quality import pair_quality
from stgal_stream.experiments.scaling.camera_graph import LEAST_WALKS, camera_graph
from stgal_stream.experiments.scaling.city import Sightings, city
from stgal_stream.experiments.scaling.hand_over import NOBODY, hand_over
from stgal_stream.experiments.scaling.part import track
from stgal_stream.experiments.scaling.partition import partition
from stgal_stream.types import Integers

SIDE = 6


@pytest.fixture(scope="module")
def seen() -> Sightings:
    return city(SIDE, n_people=250, hours=1.0, noise=0.7, seed=1)


def test_a_city_is_the_same_again_and_in_order(seen: Sightings) -> None:
    again = city(SIDE, n_people=250, hours=1.0, noise=0.7, seed=1)
    assert np.array_equal(seen.looks, again.looks)
    assert (np.diff(seen.start_s) >= 0).all()
    assert (seen.end_s > seen.start_s).all()


def test_the_graph_is_that_of_the_streets(seen: Sightings) -> None:
    graph = camera_graph(seen, SIDE * SIDE, walk_s=120.0)
    assert (graph != graph.T).nnz == 0
    pairs = graph.tocoo()
    assert pairs.data.min() >= LEAST_WALKS
    (x, y), (to_x, to_y) = np.divmod(pairs.row, SIDE), np.divmod(pairs.col, SIDE)
    steps = np.abs(x - to_x) + np.abs(y - to_y)
    # Two streets in a row are walked within the time, too.
    assert pairs.data[steps == 1].sum() > 0.6 * pairs.data.sum()
    assert pairs.data[steps <= 2].sum() > 0.9 * pairs.data.sum()
    assert (steps == 1).sum() / 2 > 0.9 * 2 * SIDE * (SIDE - 1)


def test_each_camera_has_an_owner_who_reads_its_neighbours_too(seen: Sightings) -> None:
    graph = camera_graph(seen, SIDE * SIDE, walk_s=120.0)
    load = np.bincount(seen.camera, minlength=SIDE * SIDE)
    parts = partition(graph, load, 3)
    assert parts.reads[parts.owner, np.arange(SIDE * SIDE)].all()
    for camera in range(SIDE * SIDE):
        (neighbours,) = graph[[camera]].toarray().nonzero()[1:]
        assert parts.reads[parts.owner[camera], neighbours].all()
    loads = np.bincount(parts.owner, weights=load)
    assert loads.max() < 1.3 * loads.mean()
    assert partition(graph, load, 1).overlap == 0.0


def test_parts_that_agree_name_a_person_once() -> None:
    # The middle sightings are read by both: of one person, and of another whom only one part knows.
    said = [np.array([0, 0, 1, NOBODY, NOBODY]), np.array([NOBODY, 3, 0, 3, 0])]
    owner = np.array([0, 0, 0, 1, 1])
    assert _groups(hand_over(said, owner)) == {(0, 1, 3), (2, 4)}


def test_a_minority_of_the_common_sightings_joins_nobody() -> None:
    # Part 1 takes two people of part 0 for one: at most one of them can be its person.
    said = [np.array([0, 0, 0, 1, NOBODY]), np.array([0, 0, 0, 0, 0])]
    assert _groups(hand_over(said, np.array([0, 0, 0, 0, 1]))) == {(0, 1, 2, 4), (3,)}
    said = [np.array([0, 0, 1, 1, NOBODY]), np.array([0, 0, 0, 0, 0])]
    assert _groups(hand_over(said, np.array([0, 0, 0, 0, 1]))) == {(0, 1), (2, 3), (4,)}
    # A single one is enough where it is all that both parts saw of either.
    said = [np.array([0, NOBODY]), np.array([0, 0])]
    assert _groups(hand_over(said, np.array([0, 1]))) == {(0, 1)}


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_parts_that_are_right_join_no_two_people(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, n_parts = int(rng.integers(1, 40)), int(rng.integers(1, 5))
    person, owner = rng.integers(6, size=n), rng.integers(n_parts, size=n)
    said = [
        np.where((owner == part) | (rng.random(n) < 0.4), rng.permutation(6)[person], NOBODY)
        for part in range(n_parts)
    ]
    joined = hand_over(said, owner)
    assert (joined != NOBODY).all()
    for one in range(n):
        for other in range(n):
            if joined[one] == joined[other]:
                assert person[one] == person[other]
            elif owner[one] == owner[other]:
                assert person[one] != person[other]


def test_two_parts_that_hand_over_find_whom_one_alone_loses(seen: Sightings) -> None:
    graph = camera_graph(seen, SIDE * SIDE, walk_s=120.0)
    parts = partition(graph, np.bincount(seen.camera, minlength=SIDE * SIDE), 2)
    said = []
    for reads in parts.reads:
        rows = np.flatnonzero(reads[seen.camera])
        words = np.full(len(seen), NOBODY)
        words[rows] = track(seen[rows], window_s=3600.0).identity
        said.append(words)
    owner = parts.owner[seen.camera]
    alone = np.where(owner == 0, said[0], said[1] + len(seen))
    people, cameras = seen.person.tolist(), seen.camera.tolist()
    joined = pair_quality(hand_over(said, owner).tolist(), people, cameras)
    apart = pair_quality(alone.tolist(), people, cameras)
    assert joined.recall > 0.95 > apart.recall
    assert joined.precision > 0.95


def _groups(identities: Integers) -> set[tuple[int, ...]]:
    return {tuple(np.flatnonzero(identities == name).tolist()) for name in set(identities.tolist())}
