"""Whether a tracklet was seen anywhere else at all, and what that makes of its pairs.

The law. A pair's posterior odds are those of any pair of the window at its distance and travel
time. The pairs that best-buddies search accepts are no such sample: whoever was seen once (a
passer-by, a false alarm) has nobody better, so his best pair, however poor, is accepted. So all of
a tracklet's candidates are asked: with their odds o, and their mean probability of being a partner
as the rate of a Poisson number of partners, the likelihood ratio of having any company against none
is prod (1 + o) exp(-rate), and a mixture of the two kinds of tracklets is fitted to the window. By
Bayes' rule a pair's odds are then multiplied, for each of its two tracklets, by the probability of
company that the *other* candidates give over the share of tracklets that have any: where the others
say nothing, nothing changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_STEPS = 100
_LEAST_SHARE = 1e-3
_EVIDENCE_LIMIT = 500.0  # exp of it is still a number


@dataclass(frozen=True, slots=True)
class Company:
    """``share`` of the window's tracklets that have company, and the ``rate`` of partners among
    candidates. Before anything is known everybody has company."""

    share: float = 1.0
    rate: float = 0.0

    def evidence(self, log_odds: Floats) -> Floats:
        """What each candidate (N,) says for company, from its log odds of being a partner, which
        are limited in size; 0 where they are not known (NaN)."""
        return np.nan_to_num(np.log(1.0 + np.exp(log_odds)) - self.rate, nan=0.0)

    def posterior(self, log_odds: Floats, first: Floats, second: Floats) -> Floats:
        """The probability that pairs (N,) are one person, from their log odds as any such pair and
        the evidence of company in all candidates of each of the two, this pair among them."""
        own = self.evidence(log_odds)
        asked = log_odds + self._discount(first - own) + self._discount(second - own)
        found: Floats = np.exp(-np.logaddexp(0.0, -asked))
        return found

    def _discount(self, others: Floats) -> Floats:
        """The log of the probability of company over ``share``, from what others say."""
        return -np.log(self.share + (1.0 - self.share) * _against(others))


@dataclass(slots=True)
class Partners:
    """Of each tracklet (N,): how many candidates it was compared with, how many partners are
    expected among them, and the sum of log (1 + o)."""

    n: Floats
    expected: Floats
    evidence: Floats

    @classmethod
    def of(cls, size: int) -> Partners:
        """Those of ``size`` tracklets that were compared with nothing yet."""
        return cls(np.zeros(size), np.zeros(size), np.zeros(size))

    def ask(self, row: int, log_odds: Floats) -> None:
        """Asks a tracklet's candidates; one whose log odds are not known (NaN) says nothing."""
        odds = np.exp(log_odds[np.isfinite(log_odds)])
        self.n[row] = len(odds)
        self.expected[row] = (odds / (1.0 + odds)).sum()
        self.evidence[row] = np.log(1.0 + odds).sum()

    def fit(self, known: NDArray[np.bool_]) -> tuple[Company, Floats]:
        """The most likely company, from the tracklets that are ``known`` (N,), and the evidence of
        it of each tracklet (N,). Expectation maximisation finds the share: its likelihood has one
        peak."""
        compared = float(self.n[known].sum())
        if not compared:
            return Company(), np.zeros(len(self.n))
        rate = float(self.expected[known].sum()) / compared
        evidence = self.evidence - rate * self.n
        against, share = _against(evidence[known]), 0.5
        for _ in range(_STEPS):
            share = float((share / (share + (1.0 - share) * against)).mean())
            share = min(max(share, _LEAST_SHARE), 1.0 - _LEAST_SHARE)
        return Company(share, rate), evidence


def _against(evidence: Floats) -> Floats:
    """The likelihood ratio of no company."""
    return np.exp(-np.clip(evidence, -_EVIDENCE_LIMIT, _EVIDENCE_LIMIT))
