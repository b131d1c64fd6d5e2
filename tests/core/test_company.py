"""Whether a tracklet has company, and what that makes of its pairs."""

from __future__ import annotations

import numpy as np
import pytest

from stgal_stream.core.company import Company, Partners


def _asked(log_odds: np.ndarray) -> Partners:
    """Tracklets of two cameras, from the log odds of all pairs (N, N)."""
    partners = Partners.of(2 * len(log_odds))
    for row, mine in enumerate([*log_odds, *log_odds.T]):
        partners.ask(row, mine)
    return partners


def _best_pairs(share: float, n: int) -> tuple[float, float, float]:
    """Sixty tracklets in each of two cameras, drawn ``n`` times; a ``share`` is of people seen some
    three times in each, the rest of people seen once. The share of the best pairs that is right,
    and what is expected of it without and with company asked."""
    rng, size, results = np.random.default_rng(1), 60, []
    people = int(share * size / 3)
    for _ in range(n):
        in_company = rng.random((2, size)) < share
        who = rng.integers(0, people, (2, size))
        same = (who[0][:, None] == who[1]) & in_company[0][:, None] & in_company[1]
        prior = share**2 / people
        ratio = 4.0 * rng.normal(np.where(same, 4.0, 0.0)) - 8.0
        log_odds = ratio + np.log(prior / (1 - prior))
        found, evidence = _asked(log_odds).fit(np.ones(2 * size, bool))
        best = log_odds.argmax(axis=1)
        at = (np.arange(size), best)
        with_company = found.posterior(log_odds[at], evidence[:size], evidence[size + best])
        plain = 1 / (1 + np.exp(-log_odds[at]))
        results.append([same[at].mean(), plain.mean(), with_company.mean()])
    right, before, after = np.mean(results, axis=0).tolist()
    return right, before, after


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_with_loners_about_the_best_pairs_are_expected_closer_to_the_truth(share: float) -> None:
    right, plain, expected = _best_pairs(share, n=40)
    assert plain > right
    assert abs(expected - right) < plain - right


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_where_others_say_nothing_a_pair_keeps_its_own_odds(share: float) -> None:
    company, odds = Company(share, 0.0), np.array([-2.0, 0.0, 3.0])
    own = company.evidence(odds)
    assert company.posterior(odds, own, own) == pytest.approx(1 / (1 + np.exp(-odds)))


def test_what_is_not_known_says_nothing() -> None:
    company = Company(0.5, 0.1)
    assert company.evidence(np.array([np.nan])) == pytest.approx(0.0)
    partners = Partners.of(1)
    partners.ask(0, np.array([np.nan, np.nan]))
    assert partners.fit(np.ones(1, bool))[0] == Company()


def test_loners_are_believed_less_than_others() -> None:
    company, odds = Company(0.7, 0.01), np.array([1.0, 1.0])
    whole = company.evidence(odds) + np.array([-4.0, 12.0])
    alone, together = company.posterior(odds, whole, whole)
    assert alone < 0.01
    in_company = np.exp(1.0) / 0.7**2
    assert together == pytest.approx(in_company / (1 + in_company), abs=1e-3)


def test_whatever_the_evidence_a_posterior_is_a_probability() -> None:
    extremes = np.array([-1e9, 1e9])
    assert Company(0.5).posterior(np.zeros(2), extremes, extremes) == pytest.approx([0.0, 0.8])
    assert Company().posterior(np.array([-np.inf]), np.zeros(1), np.zeros(1)) == pytest.approx(0.0)


def test_the_share_with_company_is_found() -> None:
    rng = np.random.default_rng(1)
    has = rng.random(4_000) < 0.7
    sums = rng.normal(np.where(has, 4.5, -4.5), 3.0)  # log of N(x; 1.5, 1) over N(x; -1.5, 1)
    partners = Partners(np.ones(4_000), np.full(4_000, 0.2), sums + 0.2)
    company, evidence = partners.fit(np.ones(4_000, bool))
    assert evidence == pytest.approx(sums)
    assert company.share == pytest.approx(0.7, abs=0.02)
    assert company.rate == pytest.approx(0.2)
