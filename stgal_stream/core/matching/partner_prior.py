"""The partner prior: whether a tracklet was seen anywhere else at all, and what that makes of its
pairs.

A pair's posterior odds are those of any pair of the window at its distance and travel time. Best
buddies are no such sample: somebody who was seen once (a passer-by, a false alarm) has no better
match, so their best pair, however poor, is accepted. So all candidates of a tracklet are used. With
their odds o, and their mean probability as the rate of a Poisson number of partners, the likelihood
ratio of having any true partner against none is

    LR = prod(1 + o) exp(-expected partners).

A mixture of the two kinds of tracklets is fitted to the window. By Bayes' rule a pair's odds are
then multiplied, for each of its two tracklets, by the probability of a partner given the *other*
candidates over the share of tracklets that have any. Where the others say nothing, nothing changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from stgal_stream.types import Floats, Integers, Mask

_STEPS = 100  # of EM on one number: far beyond convergence
_MIN_SHARE = 1e-3  # of one kind: with none of it left, no evidence could bring it back
_EVIDENCE_LIMIT = 500.0  # exp of it is still a number


@dataclass(frozen=True, slots=True)
class PartnerPrior:
    """``share`` of the window's tracklets that have a true partner, and the ``rate`` of partners
    among candidates. Before anything is known every tracklet has one."""

    share: float = 1.0
    rate: float = 0.0

    def evidence(self, log_odds: Floats) -> Floats:
        """What each candidate (N,) says for a partner, from its log odds of being one, which are
        limited in size; 0 where they are not known (NaN)."""
        found = np.log(1.0 + np.exp(log_odds)) - self.rate
        found[np.isnan(found)] = 0.0
        return np.asarray(found)

    def posterior(self, log_odds: Floats, first: Floats, second: Floats) -> Floats:
        """The probability that pairs (N,) are one person, from their log odds as any such pair and
        the evidence of all candidates of each of the two, this pair among them."""
        own = self.evidence(log_odds)
        corrected = log_odds + self._discount(first - own) + self._discount(second - own)
        found: Floats = np.exp(-np.logaddexp(0.0, -corrected))
        return found

    def _discount(self, others: Floats) -> Floats:
        """The log of the probability of a partner over ``share``, given the other candidates."""
        return -np.log(self.share + (1.0 - self.share) * _against(others))


@dataclass(slots=True)
class PartnerEvidence:
    """Of each tracklet (N,): how many candidates it was compared with, how many partners are
    expected among them, and the sum of log (1 + o)."""

    n: Floats
    expected: Floats
    evidence: Floats

    @classmethod
    def empty(cls, size: int) -> PartnerEvidence:
        """That of ``size`` tracklets that were compared with nothing yet."""
        return cls(np.zeros(size), np.zeros(size), np.zeros(size))

    def add(self, rows: Integers, log_odds: Floats) -> None:
        """Counts the candidates of some tracklets (B,), by log odds (B, N); one whose log odds are
        not known (NaN) says nothing."""
        known = np.isfinite(log_odds)
        odds = np.exp(log_odds[known])
        more = 1.0 + odds
        share, evidence = odds / more, np.log(more)
        ends = np.cumsum(np.count_nonzero(known, axis=1)).tolist()
        for row, (start, end) in zip(rows.tolist(), pairwise([0, *ends]), strict=True):
            self.n[row] = end - start
            self.expected[row] = share[start:end].sum()
            self.evidence[row] = evidence[start:end].sum()

    def fit(self, included: Mask) -> tuple[PartnerPrior, Floats]:
        """The most likely prior, from the tracklets that are ``included`` (N,), and the evidence of
        each tracklet (N,). Expectation maximisation finds the share: its likelihood has one
        peak."""
        compared = float(self.n[included].sum())
        if not compared:
            return PartnerPrior(), np.zeros(len(self.n))
        rate = float(self.expected[included].sum()) / compared
        evidence = self.evidence - rate * self.n
        against, share = _against(evidence[included]), 0.5
        for _ in range(_STEPS):
            share = float((share / (share + (1.0 - share) * against)).mean())
            share = min(max(share, _MIN_SHARE), 1.0 - _MIN_SHARE)
        return PartnerPrior(share, rate), evidence


def _against(evidence: Floats) -> Floats:
    """The likelihood ratio of no partner."""
    return np.exp(-np.clip(evidence, -_EVIDENCE_LIMIT, _EVIDENCE_LIMIT))
