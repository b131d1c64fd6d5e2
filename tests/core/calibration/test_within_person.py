"""How far apart one person's episodes lie, against scipy, closed forms and brute force."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chi2, multivariate_normal, norm

from stgal_stream.core.calibration.within_person import (
    MAX_DEVIATION,
    GroupMean,
    GroupMeans,
    WithinPersonScatter,
)

DIM = 24


def _are_too_far(scatter: WithinPersonScatter, one: GroupMean, other: GroupMean) -> bool:
    return bool(scatter.deviations(one, GroupMeans.of([other]))[0] > MAX_DEVIATION)


def _episodes(rng: np.random.Generator, centre: np.ndarray, n: int) -> GroupMean:
    return GroupMean((centre + rng.normal(size=(n, DIM))).mean(axis=0), n)


@pytest.mark.parametrize("far", [0.0, 0.1])
def test_quartiles_give_back_what_pairs_were_drawn_from(far: float) -> None:
    """One person's pairs in ``DIM`` dimensions, a share of them wrong and ``far`` out."""
    rng = np.random.default_rng(1)
    same = np.linalg.norm(rng.normal(size=(4_000, DIM)) - rng.normal(size=(4_000, DIM)), axis=1)
    same[: int(far * len(same))] = 14.0
    edges = np.linspace(0.0, 15.0, 97)
    counts = np.histogram(same, edges)[0].astype(float)
    total = counts.copy()
    total[-10:] += 1e5
    found = WithinPersonScatter.of(edges, counts, total)
    assert found is not None
    assert found.mean_square_same == pytest.approx(2 * DIM, rel=0.02 + far)
    assert found.degrees_of_freedom == pytest.approx(DIM, rel=0.1 + 3 * far)


@pytest.mark.parametrize(
    ("same", "total"),
    [
        ([0.0, 0.0, 0.0], [5.0, 5.0, 5.0]),  # nobody is one person
        ([5.0, 5.0, 5.0], [5.0, 5.0, 5.0]),  # everybody is
        ([0.0, 1.0, 4.0], [5.0, 5.0, 5.0]),  # one person's lie farther apart than all
    ],
)
def test_where_one_persons_pairs_are_not_told_apart_nothing_is_known(
    same: list[float], total: list[float]
) -> None:
    assert WithinPersonScatter.of(np.arange(4.0), np.array(same), np.array(total)) is None


def test_who_episodes_the_same_is_never_too_far_apart() -> None:
    """All of one person's pairs in the first bin, some stray ones far out."""
    same, total = np.zeros(96), np.full(96, 1e4)
    same[0], same[90:] = 1_000.0, 20.0
    found = WithinPersonScatter.of(np.linspace(0.0, 2.0, 97), same, total)
    assert found is not None
    assert not _are_too_far(found, GroupMean(np.ones(3), 50), GroupMean(np.ones(3), 50))


@pytest.mark.parametrize("freedom", [3.0, 10.0, 60.0])
def test_the_deviation_is_that_of_a_chi_square(freedom: float) -> None:
    scatter = WithinPersonScatter(2.0, freedom, 4.0)
    chance = np.array([0.5, 0.1, 0.01, 0.001])
    square = chi2.isf(chance, freedom) / freedom * 0.5 * scatter.mean_square_same * (1 / 3 + 1 / 6)
    others = [GroupMean(np.array([1.0, 2.0 + np.sqrt(x)]), 6) for x in square]
    found = scatter.deviations(GroupMean(np.array([1.0, 2.0]), 3), GroupMeans.of(others))
    assert found == pytest.approx(norm.isf(chance), abs=0.06)


def test_groups_of_one_person_are_too_far_apart_once_in_a_thousand() -> None:
    rng, scatter = np.random.default_rng(2), WithinPersonScatter(2 * DIM, DIM, 4 * DIM)
    centre, far = np.zeros(DIM), 0
    for _ in range(10_000):
        n, m = rng.integers(1, 6, 2).tolist()
        far += _are_too_far(scatter, _episodes(rng, centre, n), _episodes(rng, centre, m))
    assert far < 30


def test_many_episodes_part_look_alikes_where_no_single_one_would() -> None:
    rng, scatter = np.random.default_rng(3), WithinPersonScatter(2 * DIM, DIM, 4 * DIM)
    other = np.full(DIM, 0.6)
    alone = sum(
        _are_too_far(scatter, _episodes(rng, np.zeros(DIM), 1), _episodes(rng, other, 1))
        for _ in range(200)
    )
    many = sum(
        _are_too_far(scatter, _episodes(rng, np.zeros(DIM), 12), _episodes(rng, other, 12))
        for _ in range(200)
    )
    assert alone < 20
    assert many > 190


def test_what_looks_say_is_the_gaussian_likelihood_ratio() -> None:
    """Means of n and m episodes with unit variance about a person's own direction, which has unit
    variance itself: the difference of the means is Gaussian under both hypotheses."""
    rng, scatter = np.random.default_rng(4), WithinPersonScatter(2 * DIM, DIM, 4 * DIM)
    first, second = _episodes(rng, np.zeros(DIM), 3), _episodes(rng, np.zeros(DIM), 5)
    apart = first.mean - second.mean
    same, other = (
        multivariate_normal(np.zeros(DIM), variance).logpdf(apart)
        for variance in (1 / 3 + 1 / 5, 1 / 3 + 1 / 5 + 2.0)
    )
    assert scatter.log_ratio(first, GroupMeans.of([second]))[0] == pytest.approx(same - other)


def test_a_lasting_difference_between_cameras_does_not_average_out() -> None:
    """Front in one camera, back in the other: fifty looks at each are still one person's."""
    rng, noise, lasting = np.random.default_rng(5), 0.3, 0.5
    n_people, n_looks = 300, 50
    side = lasting * rng.normal(size=(n_people, 2, DIM))
    means = side + noise * rng.normal(size=(n_people, 2, DIM)) / math.sqrt(n_looks)
    scatter = WithinPersonScatter(
        2 * DIM * (noise**2 + lasting**2), DIM, 4 * DIM, 2 * DIM * lasting**2
    )
    groups = [[GroupMean(mean, n_looks) for mean in both] for both in means]
    parted = [_are_too_far(scatter, one, other) for one, other in groups]
    assert np.mean(parted) < 0.02
    averages_out = replace(scatter, lasting=0.0)
    assert np.mean([_are_too_far(averages_out, one, other) for one, other in groups]) > 0.98


def test_what_lasts_is_what_one_persons_looks_in_one_camera_do_not_explain() -> None:
    rng = np.random.default_rng(6)
    edges = np.linspace(0.0, 40.0, 401)

    def counted(variance: float) -> np.ndarray:
        d = np.sqrt(2 * variance * rng.chisquare(DIM, 20_000))
        return np.histogram(d, edges)[0].astype(np.float64)

    across, within = counted(0.34), counted(0.09)
    found = WithinPersonScatter.of(edges, across, across + counted(2.0), within)
    assert found is not None
    assert found.lasting == pytest.approx(2 * DIM * 0.25, rel=0.05)
    unknown = WithinPersonScatter.of(edges, across, across + counted(2.0), within * 0.0)
    assert unknown is not None
    assert unknown.lasting == unknown.mean_square_same
