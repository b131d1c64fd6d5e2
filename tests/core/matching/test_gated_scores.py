"""What a gate leaves out would have changed nothing: every answer is that of the whole window."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stgal_stream.core.calibration.link_test import LinkStatus
from stgal_stream.core.calibration.model import Calibration, PairModel, Scores
from stgal_stream.core.calibration.pair_histogram import N_DISTANCE_BINS
from stgal_stream.core.calibration.travel_time_distribution import TravelTimeDistribution
from stgal_stream.core.gallery.gallery import Gallery
from stgal_stream.core.identities.registry import IdentityRegistry
from stgal_stream.core.identities.rules import IdentityRules
from stgal_stream.core.matching.gated_scores import GatedScores
from stgal_stream.core.matching.pair_scorer import PairScorer
from stgal_stream.core.tracker.site_tracker import SiteTracker
from stgal_stream.settings import TrackerSettings
from stgal_stream.types import Tracklet
from tests.support.walk import simulated_walk

N, CAMERAS, LEAST = 60, "abcd", 1.5


def _model(rng: np.random.Generator) -> PairModel:
    """Any shape of odds, rising ones too; times that say up to six and nothing at all."""
    grid = Calibration("1", "calibrated", 1.0, 1.0).grid
    odds = rng.choice([1.0, 4.0]) * rng.normal(size=N_DISTANCE_BINS).cumsum() / 4 - 4.0
    return PairModel(
        LinkStatus.LINKED, 20, TravelTimeDistribution(10.0, 0.0), rng.uniform(0, 1, grid.n),
        rng.choice([0.0, 1.0, 6.0]) * rng.uniform(-1, 1, grid.n), odds, float(rng.normal(-3.0)),
    )  # fmt: skip


def _world(seed: int) -> tuple[PairScorer, IdentityRules]:
    """Anybody anywhere, in one camera at one time too; some tracklets are compared with nothing,
    some pairs were told apart by an operator, of some cameras nothing is known."""
    rng = np.random.default_rng(seed)
    gallery = Gallery()
    for number in range(N):
        at_s = float(rng.integers(0, 400))
        vector = rng.normal(size=6).astype(np.float32)
        camera = str(rng.choice(list(CAMERAS)))
        gallery.add(Tracklet(number, camera, at_s, at_s + 5, vector, "x", (f"d{number}",)), at_s)
    gallery.compare(rng.choice(N, 4).tolist(), False)
    pairs = {(a, b): _model(rng) for a in CAMERAS for b in CAMERAS if a <= b and rng.random() < 0.8}
    rest = (_model(rng), None) if rng.random() < 0.5 else (None, None)
    scorer = PairScorer(gallery)
    alpha = float(rng.choice([0.0, 1.0, 10.0]))
    scorer.use(
        Calibration(
            "1", "calibrated", alpha, 1.0, pairs, distance_width=0.02, rest=rest, cameras=("a", "b")
        )
    )
    apart = rng.integers(0, N, (6, 2))
    scorer.strangers = lambda number: [int(j) for i, j in apart if i == number]
    registry = IdentityRegistry(gallery, "site")
    for number in range(N):
        if registry.slots and rng.random() < 0.7:
            registry.join(number, int(rng.choice(registry.slots)))
        else:
            registry.create(number)
    return scorer, IdentityRules(registry, scorer, min_log_odds=LEAST)


def _equal(one: Scores, other: Scores) -> bool:
    return all(
        np.array_equal(getattr(one, f.name), getattr(other, f.name), equal_nan=True)
        for f in fields(Scores)
    )


@settings(max_examples=60)
@given(st.integers(0, 100_000))
def test_every_answer_is_that_of_the_whole_window(seed: int) -> None:
    scorer, rules = _world(seed)
    rng = np.random.default_rng(seed)
    numbers = list(range(N))
    gated = dict(scorer.before(numbers, LEAST))
    for number, scores in scorer.rows(numbers):
        whole, found = GatedScores.whole(scores[:number]), gated[number]
        p = np.zeros(number)
        p[found.rows] = found.scores.p_candidate
        assert np.array_equal(p, whole.scores.p_candidate)
        assert np.isin(whole.alike(LEAST), found.alike(LEAST)).all()
        some = np.flatnonzero(rng.random(number) < rng.choice([0.1, 1.0]))
        assert _equal(found.at(some), whole.at(some))
        assert _equal(found.at(found.rows), found.scores)
        is_asked = rng.random(number) < 0.7
        assert found.best(is_asked[found.rows]) == whole.best(is_asked)
        assert rules.candidates(number, found) == rules.candidates(number, whole)


def test_strangers_are_gated_out() -> None:
    tracker = SiteTracker("s", TrackerSettings(first_calibration=20))
    for detection in simulated_walk(3):
        tracker.observe(detection)
    window = tracker.window
    numbers = window.gallery.numbers.tolist()
    found = [each for _, each in window.scorer.before(numbers, LEAST)]
    n_scored, n_all = sum(len(each.rows) for each in found), sum(each.n for each in found)
    assert 0 < n_scored < 0.2 * n_all


def test_before_anything_is_learned_nothing_is_alike() -> None:
    scorer, _ = _world(1)
    scorer.forget()
    for number, found in scorer.before(range(N), LEAST):
        assert found.n == number
        assert not found.scores.p_candidate.any()
        assert not len(found.alike(LEAST))
        assert found.best(np.ones(number, bool)) is None


@pytest.mark.parametrize("is_asked", [False, True])
def test_the_best_is_the_first_of_equals(is_asked: bool) -> None:
    p = np.array([0.0, 0.5, 0.2, 0.5])
    odds = np.zeros(4)
    found = GatedScores.whole(Scores(p, p, p, odds, odds, odds, odds, odds))
    assert found.best(np.array([True, is_asked, True, True])) == ((1 if is_asked else 3), 0.5)
