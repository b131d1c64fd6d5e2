"""The mixture: it finds what its own law made, of each camera pair, and nothing where there is
nothing."""

from __future__ import annotations

import numpy as np
import pytest

from stgal_stream.core.calibration.link_test import BuddyTimes, LinkStatus
from stgal_stream.core.calibration.mixture import Mixture, fit_mixture
from stgal_stream.core.calibration.pair_histogram import N_DISTANCE_BINS, PairHistogram
from stgal_stream.core.calibration.time_grid import TimeGrid
from stgal_stream.core.measures.weighted_counts import weighted_counts
from stgal_stream.types import Floats

GRID = TimeGrid()
CENTRES = (np.arange(N_DISTANCE_BINS) + 0.5) / N_DISTANCE_BINS


def drawn(
    seed: int,
    n_same: int,
    n_other: int,
    apart: float,
    cameras: tuple[str, str] = ("a", "b"),
    walk_s: float | None = 40.0,
) -> PairHistogram:
    """Pairs drawn from two Gaussians of distance, ``apart`` of the range from each other, and two
    laws of time; without a walk one person's times are anybody's."""
    rng = np.random.default_rng(seed)
    table = np.zeros((N_DISTANCE_BINS, GRID.n))
    any_s = rng.uniform(1, 2000, n_same)
    same_s = any_s if walk_s is None else walk_s * rng.lognormal(0, 0.2, n_same)
    sides = []
    for n, middle, seconds in (
        (n_same, 0.7 - apart, same_s),
        (n_other, 0.7, rng.uniform(1, 2000, n_other)),
    ):
        d = np.clip(rng.normal(middle, 0.06, n), 0, 0.999)
        np.add.at(table, ((d * N_DISTANCE_BINS).astype(int), GRID.bins(seconds)), 1)
        sides.append((d, seconds))
    d, seconds = (side[:200] for side in sides[0])
    if not n_same:
        d, seconds = rng.uniform(0.5, 0.6, 60), rng.uniform(1, 2000, 60)
    order = np.argsort(d)
    facts = BuddyTimes(GRID.bins(seconds[order]).astype(np.int64), np.ones(len(d), np.int64))
    cells = np.flatnonzero(table)
    width, near = 1 / N_DISTANCE_BINS, np.zeros(N_DISTANCE_BINS)
    return PairHistogram(
        cameras, cells, table.ravel()[cells], d[order], seconds[order], facts, width, near
    )


def fitted(*across: PairHistogram) -> Mixture:
    found = fit_mixture(across, [], GRID)
    assert found is not None
    return found


def n_same(found: Mixture) -> Floats:
    return weighted_counts(found.pair, found.same, len(found.links))


@pytest.mark.parametrize("apart", [0.2, 0.3])
def test_it_finds_how_many_are_one_person_and_when_they_come(apart: float) -> None:
    found = fitted(drawn(1, 600, 40_000, apart))
    assert found.links == [LinkStatus.LINKED]
    assert n_same(found)[0] == pytest.approx(600, rel=0.1)
    assert GRID.centres_s()[int(np.argmax(found.g1[0] / found.g0[0]))] == pytest.approx(40, rel=0.3)
    assert (np.diff(found.distance_ratio[0]) <= 1e-9).all()
    assert found.g1[0].sum() == pytest.approx(1.0)


@pytest.mark.parametrize("share", [0.05, 0.004, 0.001])
def test_few_of_many_are_found_as_well_as_many(share: float) -> None:
    """The share of same pairs that 40 plain steps of EM got wrong by a factor of six."""
    n_other = 40_000
    found = fitted(drawn(5, round(share * n_other), n_other, 0.35))
    assert n_same(found)[0] == pytest.approx(share * n_other, rel=0.2)


def test_log_odds_by_distance_are_those_of_the_law() -> None:
    """Two Gaussians of one width: log f1 / f0 is linear; where there are pairs, it is found."""
    found = fitted(drawn(2, 3000, 60_000, 0.2))
    wanted = ((CENTRES - 0.7) ** 2 - (CENTRES - 0.5) ** 2) / (2 * 0.06**2)
    between = (CENTRES > 0.5) & (CENTRES < 0.58)  # where many pairs of both kinds lie
    assert np.abs(found.distance_ratio[0] - wanted)[between].mean() < 0.6


def test_what_one_camera_pair_shows_is_used_for_another_whose_times_say_nothing() -> None:
    """Staff: their travel times are anybody's, but distance says how many pairs they are."""
    walkers = drawn(6, 600, 40_000, 0.3)
    staff = drawn(7, 900, 20_000, 0.3, ("c", "d"), walk_s=None)
    strangers = drawn(8, 0, 30_000, 0.3, ("e", "f"))
    found = n_same(fitted(walkers, staff, strangers))
    assert found[0] == pytest.approx(600, rel=0.1)
    assert found[1] == pytest.approx(900, rel=0.1)
    assert found[2] < 30


@pytest.mark.parametrize(("apart", "is_person"), [(0.35, True), (0.25, True), (0.12, False)])
def test_in_one_camera_nobody_looks_less_alike_than_across(apart: float, is_person: bool) -> None:
    """Pairs of one camera that lie nearer than one person's do across cameras (front in the one,
    back in the other), as near, and farther: these are look-alikes."""
    walkers = drawn(6, 600, 40_000, 0.25)
    here = drawn(7, 400, 20_000, apart, ("c", "c"), walk_s=None)
    found = fit_mixture([walkers], [here], GRID)
    assert found is not None
    assert n_same(found)[0] == pytest.approx(600, rel=0.1)
    assert n_same(found)[1] == pytest.approx(400, rel=0.2) if is_person else n_same(found)[1] < 100


def test_where_nobody_is_shared_nothing_is_fitted() -> None:
    found = fitted(drawn(3, 0, 20_000, 0.2))
    assert found.links == [LinkStatus.NOT_LINKED]
    assert found.is_fitted == (False, False)
    assert not found.same.any()


def test_no_camera_pair_is_no_mixture() -> None:
    assert fit_mixture([], [], GRID) is None
