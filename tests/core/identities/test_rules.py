"""Identities compared as groups: what pairs cannot tell, groups can."""

from __future__ import annotations

import numpy as np
import pytest

from stgal_stream.core.calibration.model import Scores
from stgal_stream.core.gallery.gallery import Gallery
from stgal_stream.core.identities.linkage import Linkage
from stgal_stream.core.identities.registry import IdentityRegistry
from stgal_stream.core.identities.revision import LinkageTable
from stgal_stream.core.identities.rules import IdentityRules
from stgal_stream.core.matching.gated_scores import GatedScores
from stgal_stream.core.matching.pair_scorer import PairScorer
from stgal_stream.types import Tracklet
from tests.support.episodes import DIM, ONE_PERSON, Seen, scorer_of, two_people

LEAST = 1.5


def _grouped(scorer: PairScorer, groups: list[range]) -> IdentityRules:
    """An identity of each group of tracklets; the rest have none."""
    registry = IdentityRegistry(scorer.gallery, "site")
    for group in groups:
        registry.create(group[0])
        for number in group[1:]:
            registry.join(number, registry.slot_of(group[0]))
    return IdentityRules(registry, scorer, min_log_odds=LEAST)


def _merged(seen: list[Seen], by_pairs: float) -> list[tuple[int, int]]:
    """What is merged of two identities, the first half and the second."""
    scorer = scorer_of(seen, ONE_PERSON, by_pairs)
    half = len(seen) // 2
    rules = _grouped(scorer, [range(half), range(half, len(seen))])
    table = LinkageTable(rules)
    for _ in table.fill():
        pass
    return [(first, second) for first, second, _ in table.merges()]


def _then(seen: list[Seen], where: float) -> list[Seen]:
    """And one tracklet more, ``where`` standard deviations away in every dimension."""
    return [*seen, ("b", seen[-1][1] + 70.0, np.full(DIM, where))]


@pytest.mark.parametrize(("where", "n"), [(0.0, 1), (3.0, 0)])
def test_a_tracklet_too_far_from_an_identity_is_no_candidate(where: float, n: int) -> None:
    scorer = scorer_of(_then(two_people(0.0, 1), where), ONE_PERSON)
    rules = _grouped(scorer, [range(36)])
    assert len(rules.candidates(36, GatedScores.whole(scorer.one(36)))) == n


@pytest.mark.parametrize(("where", "first"), [(0.0, 0), (0.8, 12)])
def test_of_two_that_may_take_a_tracklet_the_nearer_as_a_group_is_first(
    where: float, first: int
) -> None:
    scorer = scorer_of(_then(two_people(0.8, 1)[:24], where), ONE_PERSON)
    rules = _grouped(scorer, [range(12), range(12, 24)])
    found = [c.slot for c in rules.candidates(24, GatedScores.whole(scorer.one(24)))]
    assert len(found) == 2
    assert found[0] == rules.registry.slot_of(first)


@pytest.mark.parametrize(
    ("apart", "by_pairs", "merged"),
    [
        (0.0, 6.0, True),  # pairs favour one person
        (0.0, 1.0, True),  # pairs are in doubt: groups decide
        (0.0, -4.0, False),  # pairs are against it
        (0.8, 6.0, False),  # a look-alike, whatever the pairs say
        (0.8, 1.0, False),
    ],
)
def test_identities_merge_where_pairs_or_groups_say_so_and_never_a_look_alike(
    apart: float, by_pairs: float, merged: bool
) -> None:
    assert bool(_merged(two_people(apart, 1)[:24], by_pairs)) == merged


@pytest.mark.parametrize("seed", range(30))
def test_no_identity_that_the_linkage_favours_is_missed(seed: int) -> None:
    """Only identities with a tracklet that is alike enough are looked at; beside all of them."""
    rng = np.random.default_rng(seed)
    n, look = 60, np.ones(4, np.float32)
    gallery = Gallery()
    for number in range(n + 1):
        at_s = 100.0 * number
        gallery.add(Tracklet(number, "c", at_s, at_s + 1, look, "x", (f"d{number}",)), at_s)
    registry = IdentityRegistry(gallery, "site")
    for number in range(0, n, 2):  # every second one is nobody's
        if number and rng.random() < 0.6:
            registry.join(number, int(rng.choice(list(registry.slots))))
        else:
            registry.create(number)
    rules = IdentityRules(registry, PairScorer(gallery), min_log_odds=LEAST)
    appearance = rng.normal(-3.0, 4.0, n)
    appearance[rng.random(n) < 0.2] = np.nan
    time, nothing = rng.normal(0.0, 2.0, n), np.zeros(n)
    times_s = rng.choice([1.0, 2.0, 5.0], n)
    scores = Scores(
        nothing, nothing, nothing, appearance, time, times_s, appearance + time, nothing
    )
    log_odds = Linkage.of(scores, gallery.slots[:n], registry.n_slots).log_odds
    found = {c.slot: c.log_odds for c in rules.candidates(n, GatedScores.whole(scores))}
    assert found == {k: log_odds[k] for k in np.flatnonzero(log_odds > LEAST).tolist()}
