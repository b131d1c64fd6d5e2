"""Online IBBS equals the reference at every step of random streams, ``TEST_STREAMS`` of them."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stgal_stream.core.matching.online_best_buddies import OnlineBestBuddies
from tests.support.walked_best_buddies import walked_best_buddies

N_STREAMS = int(os.environ.get("TEST_STREAMS", "600"))


class Stream:
    """A symmetric matrix of P_a drawn up front, and the members present of it."""

    def __init__(self, seed: int, n: int, n_cameras: int, levels: int, zeros: float) -> None:
        rng = np.random.default_rng(seed)
        values = rng.random((n, n)) if levels == 0 else rng.integers(1, levels + 1, (n, n)) / levels
        values = np.triu(values, 1)
        values = values + values.T
        hidden = np.triu(rng.random((n, n)) < zeros, 1)
        values[hidden | hidden.T] = 0
        self.values, self.cameras = values, rng.integers(0, n_cameras, n)
        self.present: list[int] = []
        self.rng = rng

    def row(self, member: int, camera: int) -> tuple[np.ndarray, np.ndarray]:
        others = np.array(
            [m for m in self.present if m != member and self.cameras[m] == camera], dtype=np.int64
        )
        return others, self.values[member, others]

    def reference(self) -> set[tuple[int, int]]:
        rows = np.array(self.present, dtype=np.int64)
        pairs = walked_best_buddies(self.values[np.ix_(rows, rows)], list(self.cameras[rows]))
        return {(int(rows[i]), int(rows[j])) for i, j in pairs}


@settings(max_examples=N_STREAMS)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 40),
    n_cameras=st.integers(1, 5),
    levels=st.sampled_from([0, 0, 2, 5]),
    zeros=st.sampled_from([0.0, 0.2, 0.7]),
    keep=st.sampled_from([1, 2, 8]),
    window=st.integers(1, 40),
)
def test_equals_the_reference(
    seed: int, n: int, n_cameras: int, levels: int, zeros: float, keep: int, window: int
) -> None:
    stream = Stream(seed, n, n_cameras, levels, zeros)
    online = OnlineBestBuddies(stream.row, keep=keep)
    known: set[tuple[int, int]] = set()
    n_next = 0
    while n_next < n:
        for _ in range(min(int(stream.rng.integers(1, 5)), n - n_next)):
            others = np.array(stream.present, dtype=np.int64)
            online.insert(
                n_next,
                int(stream.cameras[n_next]),
                others,
                stream.cameras[others].astype(np.int64),
                stream.values[n_next, others],
            )
            stream.present.append(n_next)
            n_next += 1
        gone = []
        while len(stream.present) > window or (stream.present and stream.rng.random() < 0.1):
            at = int(stream.rng.integers(len(stream.present)))
            gone.append(stream.present.pop(at))
        online.expire(gone)
        added, withdrawn = online.settle()
        assert online.accepted == stream.reference()
        known = {p for p in (known | added) - withdrawn if set(p) <= set(stream.present)}
        assert known == online.accepted


def test_a_walk_longer_than_the_head_reads_on() -> None:
    """One query in camera 0 and nine partners in camera 1 that know nobody else."""
    stream = Stream(0, 10, 1, 0, 0.0)
    stream.cameras = np.array([0] + [1] * 9)
    stream.present = []
    online = OnlineBestBuddies(stream.row, keep=2)
    for member in range(10):
        others = np.array(stream.present, dtype=np.int64)
        cameras = stream.cameras[others].astype(np.int64)
        online.insert(
            member, int(stream.cameras[member]), others, cameras, stream.values[member, others]
        )
        stream.present.append(member)
    online.settle()
    assert {(0, m) for m in range(1, 10)} <= online.accepted


def test_the_reference_on_a_case_worked_by_hand() -> None:
    # Camera A holds 0 and 1, camera B holds 2, 3 and 4.
    association = np.zeros((5, 5))
    for i, j, p in [(0, 2, 0.9), (0, 3, 0.8), (0, 4, 0.3), (1, 4, 0.5), (1, 3, 0.2)]:
        association[i, j] = association[j, i] = p
    cameras = ["A", "A", "B", "B", "B"]
    # 0 walks 2, 3 and stops at 4, whose best is 1. 1 walks 4, stops at 3.
    # From B: 2's best is 0, whose best in B is 2: accepted; 3's best is 0, whose best is 2: not.
    assert walked_best_buddies(association, cameras) == {(0, 2), (0, 3), (1, 4)}
    assert walked_best_buddies(association, cameras, iterated=False) == {(0, 2), (1, 4)}


@pytest.mark.parametrize("keep", [1, 4])
def test_an_expired_best_partner_is_replaced(keep: int) -> None:
    stream = Stream(3, 12, 2, 0, 0.0)
    online = OnlineBestBuddies(stream.row, keep=keep)
    for member in range(12):
        others = np.array(stream.present, dtype=np.int64)
        cameras = stream.cameras[others].astype(np.int64)
        online.insert(
            member, int(stream.cameras[member]), others, cameras, stream.values[member, others]
        )
        stream.present.append(member)
    online.settle()
    first = min(online.accepted)[0]
    stream.present.remove(first)
    online.expire([first])
    online.settle()
    assert online.accepted == stream.reference()
