"""Whether a tracklet has a true partner, and what that makes of its pairs."""

from __future__ import annotations

import numpy as np
import pytest

from stgal_stream.core.matching.partner_prior import PartnerEvidence, PartnerPrior


def _asked(log_odds: np.ndarray) -> PartnerEvidence:
    """Tracklets of two cameras, from the log odds of all pairs (N, N)."""
    partners = PartnerEvidence.empty(2 * len(log_odds))
    partners.add(np.arange(2 * len(log_odds)), np.concatenate([log_odds, log_odds.T]))
    return partners


def _best_pairs(share: float, n: int) -> tuple[float, float, float]:
    """Sixty tracklets in each of two cameras, drawn ``n`` times; a ``share`` is of people seen some
    three times in each, the rest of people seen once. The share of the best pairs that is right,
    and what is expected of it without and with the partner prior."""
    rng, size, results = np.random.default_rng(1), 60, []
    people = int(share * size / 3)
    for _ in range(n):
        has_partner = rng.random((2, size)) < share
        who = rng.integers(0, people, (2, size))
        same = (who[0][:, None] == who[1]) & has_partner[0][:, None] & has_partner[1]
        chance = share**2 / people
        ratio = 4.0 * rng.normal(np.where(same, 4.0, 0.0)) - 8.0
        log_odds = ratio + np.log(chance / (1 - chance))
        found, evidence = _asked(log_odds).fit(np.ones(2 * size, bool))
        best = log_odds.argmax(axis=1)
        at = (np.arange(size), best)
        with_partner = found.posterior(log_odds[at], evidence[:size], evidence[size + best])
        plain = 1 / (1 + np.exp(-log_odds[at]))
        results.append([same[at].mean(), plain.mean(), with_partner.mean()])
    right, before, after = np.mean(results, axis=0).tolist()
    return right, before, after


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_with_loners_about_the_best_pairs_are_expected_closer_to_the_truth(share: float) -> None:
    right, plain, expected = _best_pairs(share, n=40)
    assert plain > right
    assert abs(expected - right) < plain - right


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_where_others_say_nothing_a_pair_keeps_its_own_odds(share: float) -> None:
    prior, odds = PartnerPrior(share, 0.0), np.array([-2.0, 0.0, 3.0])
    own = prior.evidence(odds)
    assert prior.posterior(odds, own, own) == pytest.approx(1 / (1 + np.exp(-odds)))


def test_what_is_not_known_says_nothing() -> None:
    prior = PartnerPrior(0.5, 0.1)
    assert prior.evidence(np.array([np.nan])) == pytest.approx(0.0)
    partners = PartnerEvidence.empty(1)
    partners.add(np.array([0]), np.array([[np.nan, np.nan]]))
    assert partners.fit(np.ones(1, bool))[0] == PartnerPrior()


def test_loners_are_believed_less_than_others() -> None:
    prior, odds = PartnerPrior(0.7, 0.01), np.array([1.0, 1.0])
    whole = prior.evidence(odds) + np.array([-4.0, 12.0])
    alone, together = prior.posterior(odds, whole, whole)
    assert alone < 0.01
    has_partner = np.exp(1.0) / 0.7**2
    assert together == pytest.approx(has_partner / (1 + has_partner), abs=1e-3)


def test_whatever_the_evidence_a_posterior_is_a_probability() -> None:
    extremes = np.array([-1e9, 1e9])
    assert PartnerPrior(0.5).posterior(np.zeros(2), extremes, extremes) == pytest.approx([0.0, 0.8])
    assert PartnerPrior().posterior(np.array([-np.inf]), np.zeros(1), np.zeros(1)) == pytest.approx(
        0.0
    )


def test_the_share_with_partner_is_found() -> None:
    rng = np.random.default_rng(1)
    has = rng.random(4_000) < 0.7
    sums = rng.normal(np.where(has, 4.5, -4.5), 3.0)  # log of N(x; 1.5, 1) over N(x; -1.5, 1)
    partners = PartnerEvidence(np.ones(4_000), np.full(4_000, 0.2), sums + 0.2)
    prior, evidence = partners.fit(np.ones(4_000, bool))
    assert evidence == pytest.approx(sums)
    assert prior.share == pytest.approx(0.7, abs=0.02)
    assert prior.rate == pytest.approx(0.2)
