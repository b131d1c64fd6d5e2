"""Travel-time distributions: closed forms, and update/revert."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgal_stream.core.calibration.time_grid import TimeGrid, smoothed
from stgal_stream.core.calibration.travel_time_distribution import TravelTimeDistribution
from stgal_stream.core.gallery.gallery import Gallery
from stgal_stream.core.measures.travel_time import gaps_s, travel_time_s
from stgal_stream.types import Tracklet

times = st.floats(0, 1e5, allow_nan=False)


@given(st.lists(times), times)
def test_probability_is_the_share_within_epsilon(seen: list[float], at: float) -> None:
    distribution = TravelTimeDistribution(epsilon_s=10)
    for time_s in seen:
        distribution.update(time_s)
    near = sum(at - 10 <= t <= at + 10 for t in seen)
    assert float(distribution.probability(at)) == (near / len(seen) if seen else 0.0)


@given(st.lists(times, max_size=30), st.lists(times, max_size=30), st.randoms())
def test_update_then_revert_restores(
    kept: list[float], passing: list[float], random: object
) -> None:
    distribution = TravelTimeDistribution()
    for time_s in kept:
        distribution.update(time_s)
    before = list(distribution.times_s)
    for time_s in passing:
        distribution.update(time_s)
    shuffled = list(passing)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for time_s in shuffled:
        distribution.revert(time_s)
    assert distribution.times_s == before


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_impossible_travel_times_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        TravelTimeDistribution().update(bad)


def test_reverting_what_was_never_seen_is_refused() -> None:
    with pytest.raises(ValueError, match="not in the window"):
        TravelTimeDistribution().revert(3.0)


def test_travel_time_is_the_gap_and_zero_for_an_overlap() -> None:
    starts, ends = np.array([0.0, 20.0]), np.array([10.0, 30.0])
    gaps = gaps_s(starts[:, None], ends[:, None], starts, ends)
    assert gaps.tolist() == [[0.0, 10.0], [10.0, 0.0]]


@given(st.lists(times, min_size=1))
def test_grid_bins_hold_what_their_edges_say(values: list[float]) -> None:
    grid = TimeGrid()
    edges = grid.edges_s()
    for time_s, index in zip(values, grid.bins(values).tolist(), strict=True):
        assert (index == 0) == (time_s == 0)
        if 0 < index < grid.n - 1:
            assert edges[index] <= time_s + 1 / 8  # times count in eighths of a second
            assert time_s <= edges[index + 1] * (1 + 1e-9)


@given(st.lists(st.integers(0, 50), min_size=96, max_size=96))
def test_smoothed_is_a_density_that_forbids_nothing(counts: list[int]) -> None:
    density = smoothed(np.array(counts, dtype=float), np.full(96, 1 / 96))
    assert density.sum() == pytest.approx(1.0)
    assert (density > 0).all()


spans = st.lists(
    st.tuples(
        st.sampled_from("ab"), st.floats(0, 100), st.floats(0, 50), st.none() | st.floats(0, 60)
    ),
    min_size=1,
    max_size=8,
)


@given(spans)
def test_arrays_equal_the_definition_pair_by_pair(
    rows: list[tuple[str, float, float, float | None]],
) -> None:
    tracklets = [
        Tracklet(
            i, camera, start_s, start_s + stay_s, np.ones(1, np.float32), "x", ("d",),
            track_start_s=None if before_s is None else start_s - before_s,
        )
        for i, (camera, start_s, stay_s, before_s) in enumerate(rows)
    ]  # fmt: skip
    gallery = Gallery()
    for tracklet in tracklets:
        gallery.add(tracklet, tracklet.end_s)
    found = gallery.travel_times_s(np.arange(len(rows)))
    for i, first in enumerate(tracklets):
        for j, second in enumerate(tracklets):
            assert found[i, j] == travel_time_s(first, second)
            if first.camera != second.camera:
                starts = [t.in_view_from_s for t in (first, second)]
                wanted = max(0.0, starts[1] - first.end_s, starts[0] - second.end_s)
                assert found[i, j] == wanted
    assert (found == found.T).all()


@pytest.mark.parametrize("at", [1, 2, 5, 94, 95])
@pytest.mark.parametrize("n", [50, 1000, 10_000])
def test_smoothing_keeps_the_share_of_travel_times_at_either_end(at: int, n: int) -> None:
    """Doors beside each other: half of all are seen at once, half a second later."""
    counts = np.zeros(96)
    counts[[0, at]] = n
    found = smoothed(counts, np.full(96, 1 / 96), pseudo=1e-6)
    assert found[0] == pytest.approx(0.5, abs=1e-6)
