"""How far apart one person's looks lie, against scipy, closed forms and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2, multivariate_normal, norm

from stgal_stream.core.spread import Spread

DIM = 24


def _looks(rng: np.random.Generator, centre: np.ndarray, n: int) -> np.ndarray:
    return centre + rng.normal(size=(n, DIM))


def test_moments_are_those_of_the_pairs_drawn() -> None:
    rng = np.random.default_rng(1)
    same = ((rng.normal(size=(4_000, DIM)) - rng.normal(size=(4_000, DIM))) ** 2).sum(axis=1)
    counts, edges = np.histogram(same, 400)
    squares = (edges[1:] + edges[:-1]) / 2
    strangers = np.full(len(squares), 100.0)
    found = Spread.of(
        np.append(squares, 90.0), np.append(counts, 0.0), np.append(counts, strangers.sum())
    )
    assert found is not None
    assert found.square == pytest.approx(2 * DIM, rel=0.02)
    assert found.freedom == pytest.approx(DIM, rel=0.1)
    assert found.log_prior_odds == pytest.approx(np.log(4_000 / strangers.sum()))


@pytest.mark.parametrize(
    ("squares", "same", "total"),
    [
        ([1.0, 2.0], [0.0, 0.0], [5.0, 5.0]),  # nobody is one person
        ([1.0, 2.0], [5.0, 5.0], [5.0, 5.0]),  # everybody is
        ([1.0, 2.0], [4.0, 0.0], [5.0, 5.0]),  # no spread
        ([1.0, 2.0], [1.0, 4.0], [5.0, 5.0]),  # one person's lie farther apart than all
    ],
)
def test_where_one_persons_pairs_are_not_told_apart_nothing_is_known(
    squares: list[float], same: list[float], total: list[float]
) -> None:
    assert Spread.of(np.array(squares), np.array(same), np.array(total)) is None


@pytest.mark.parametrize("freedom", [3.0, 10.0, 60.0])
def test_the_excess_is_that_of_a_chi_square(freedom: float) -> None:
    spread = Spread(2.0, freedom, 4.0, -5.0)
    chance = np.array([0.5, 0.1, 0.01, 0.001])
    share = np.full(4, 0.5)
    square = chi2.isf(chance, freedom) / freedom * 0.5 * spread.square * share
    assert spread.excess(square, share) == pytest.approx(norm.isf(chance), abs=0.06)


def test_groups_of_one_person_are_too_far_apart_once_in_a_thousand() -> None:
    rng, spread = np.random.default_rng(2), Spread(2 * DIM, DIM, 4 * DIM, -5.0)
    centre, far = np.zeros(DIM), 0
    for _ in range(10_000):
        n, m = rng.integers(1, 6, 2).tolist()
        far += spread.is_too_far(_looks(rng, centre, n), _looks(rng, centre, m))
    assert far < 30


def test_many_looks_part_look_alikes_where_no_single_one_would() -> None:
    rng, spread = np.random.default_rng(3), Spread(2 * DIM, DIM, 4 * DIM, -5.0)
    other = np.full(DIM, 0.6)
    alone = sum(
        spread.is_too_far(_looks(rng, np.zeros(DIM), 1), _looks(rng, other, 1)) for _ in range(200)
    )
    many = sum(
        spread.is_too_far(_looks(rng, np.zeros(DIM), 12), _looks(rng, other, 12))
        for _ in range(200)
    )
    assert alone < 20
    assert many > 190


def test_log_odds_are_the_gaussian_likelihood_ratio() -> None:
    """Means of n and m looks with unit variance about a person's own direction, which has unit
    variance itself: the difference of the means is Gaussian under both hypotheses."""
    rng, spread = np.random.default_rng(4), Spread(2 * DIM, DIM, 4 * DIM, -5.0)
    first, second = _looks(rng, np.zeros(DIM), 3), _looks(rng, np.zeros(DIM), 5)
    apart = first.mean(axis=0) - second.mean(axis=0)
    same, other = (
        multivariate_normal(np.zeros(DIM), variance).logpdf(apart)
        for variance in (1 / 3 + 1 / 5, 1 / 3 + 1 / 5 + 2.0)
    )
    assert spread.log_odds(first, second) == pytest.approx(same - other - 5.0)


def test_groups_are_those_of_joining_the_nearest_pair_again_and_again() -> None:
    rng, spread = np.random.default_rng(5), Spread(2 * DIM, DIM, 4 * DIM, -5.0)
    for _ in range(20):
        centres = rng.normal(size=(3, DIM)) * rng.uniform(0.2, 1.5)
        looks = [_looks(rng, centres[rng.integers(3)], int(rng.integers(1, 6))) for _ in range(9)]
        found = spread.groups(looks)
        assert sorted(map(sorted, found)) == _joined_by_hand(spread, looks)
        sizes = [sum(len(looks[k]) for k in group) for group in found]
        assert sizes == sorted(sizes, reverse=True)


def _joined_by_hand(spread: Spread, looks: list[np.ndarray]) -> list[list[int]]:
    groups = [[k] for k in range(len(looks))]
    while True:
        best, at = 3.09, None
        for i in range(len(groups)):
            for j in range(i + 1, len(groups)):
                one, other = (np.concatenate([looks[k] for k in groups[g]]) for g in (i, j))
                apart = one.mean(axis=0) - other.mean(axis=0)
                share = 1 / len(one) + 1 / len(other)
                excess = float(spread.excess(np.array([apart @ apart]), np.array([share]))[0])
                if excess <= best:
                    best, at = excess, (i, j)
        if at is None:
            return sorted(sorted(group) for group in groups)
        groups[at[0]] += groups.pop(at[1])
