"""The mixture of same-person and different-person pairs, fitted without a label.

Model: given which of the two a pair is, its distance and its travel time are independent. So a
camera pair's histogram (distance x travel time) is pi f1 g1 + (1 - pi) f0 g0, and expectation
maximisation finds the parts.

Shared by all camera pairs are f0, and f1 of one kind (across cameras, or within one); pi and g1
are each camera pair's own. So where time says little, distance says how many pairs are of one
person, and where distance says little, time does. What is assumed of f1 / f0 is that it falls, and
of f1 within a camera that nobody looks less alike there than across cameras: pairs that lie farther
apart are of people who look like each other.

What nobody was seen to do yet is not impossible: f0 holds some of the same-person pairs and f1
some of the others, and a camera pair borrows what it lacks from all: half of what its g1 starts
from is g0, which says nothing, half is what all have together. Its own travel times count as much
as they bet better than chance.

Expectation maximisation runs until nothing changes, in long strides (SQUAREM, Varadhan and Roland
2008): with few same-person pairs plain steps are so short that to stop early is to stop anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stgal_stream.core.calibration.link_test import (
    FALSE_LINK_CHANCE,
    LinkStatus,
    joint_evidence,
    link_evidence,
    link_test,
    most_telling,
)
from stgal_stream.core.calibration.pair_histogram import N_DISTANCE_BINS, PairHistogram
from stgal_stream.core.calibration.time_grid import TimeGrid, smoothed
from stgal_stream.core.measures.isotonic import isotonic_decreasing
from stgal_stream.core.measures.weighted_counts import weighted_counts
from stgal_stream.types import Floats, Integers

_STRIDES = 40  # of three steps each; a dozen are enough nearly always
_TOLERANCE = 0.02  # of log odds, between two strides: no decision hangs on less
_STRAY_SHARE = 2e-3  # of all same-person pairs, added as others to each distance bin
_UNLIKE_SHARE = 0.005  # of a person's sightings look like nobody's, or anybody's
_BORROWED_PAIRS = 20.0  # of f1 across cameras, that f1 within one starts from, and back
_PRIOR_PAIRS = 0.1  # of one person, that each camera pair starts from
_OWN_TIMES = 9.0  # odds against a law of time of a camera pair's own, before it has bet
_HINT = 1.0  # log e-value: from there on best buddies are worth to start from
_LIMIT = 40.0  # of log odds: exp(40) is still far from overflow


@dataclass(slots=True)
class Mixture:
    """The fit of K camera pairs, the first ``n_across`` of them across cameras.

    ``links`` and ``evidence`` (log e-values) are the link test's. ``g0`` and ``g1`` (K, T) are
    densities over the time grid, ``prior`` (K,) is pi, ``distance_ratio`` (2, D) is log f1 / f0 by
    kind. The cells of all histograms that hold pairs are listed: camera pair, distance bin, time
    bin, how many pairs and how many of one person. ``is_fitted`` says of which kinds same-person
    pairs are told apart: where nothing shows that people are seen twice, of none.
    """

    n_across: int
    links: list[LinkStatus]
    evidence: Floats
    g0: Floats
    g1: Floats
    prior: Floats
    pair: Integers
    distance: Integers
    time: Integers
    total: Floats
    same: Floats
    distance_ratio: Floats
    is_fitted: tuple[bool, bool] = (False, False)

    def kind(self, k: int) -> int:
        """0 for a camera pair across cameras, 1 for one within a camera."""
        return int(k >= self.n_across)

    def cells(self) -> Integers:
        """The cells that the fit is read off: across cameras where those are fitted."""
        across = self.pair < self.n_across
        return np.flatnonzero(across if self.is_fitted[0] else ~across)

    def log_odds_by_time(self) -> Floats:
        """(K, T) the log odds that a pair is of one person, by its cameras and travel time."""
        prior = np.log(self.prior / (1.0 - self.prior))
        return np.asarray(prior[:, None] + np.log(self.g1 / self.g0))

    def by_distance(self, n: int, kind: int) -> tuple[Floats, Floats]:
        """How many pairs of one person are expected and how many there are, by distance bin, (n,)
        each."""
        at = np.flatnonzero((self.pair >= self.n_across) == bool(kind))
        return (
            weighted_counts(self.distance[at], self.same[at], n),
            weighted_counts(self.distance[at], self.total[at], n),
        )

    def by_time(self, n: int) -> Floats:
        """How many pairs of one person are expected by time bin, (n,)."""
        at = self.cells()
        return weighted_counts(self.time[at], self.same[at], n)


def fit_mixture(
    across: Sequence[PairHistogram],
    within: Sequence[PairHistogram],
    grid: TimeGrid,
    *,
    trust: float = 1.0,
) -> Mixture | None:
    """Expectation maximisation over all camera pairs; None where there is none. Log evidence for
    links counts ``trust`` times: less than one where best buddies depend on each other."""
    counts = [*across, *within]
    if not counts:
        return None
    made, e_values = _start(counts, len(across), grid.n, trust)
    n = len(across)
    across_shown = _is_shown(made.links[:n], counts[:n], e_values[:n])
    if across_shown or _is_shown(made.links[n:], counts[n:], e_values[n:]):
        made.is_fitted = across_shown, True
        _maximise(made, counts)
    return made


def _is_shown(links: list[LinkStatus], counts: list[PairHistogram], e_values: Floats) -> bool:
    """Whether anything shows that people are seen twice: one camera pair by itself, or all
    together, by their log e-values (K,)."""
    if LinkStatus.LINKED in links:
        return True
    pairs = [part.pair for part in counts]
    at = np.flatnonzero(most_telling(pairs, np.array([len(part.facts) for part in counts])))
    together = joint_evidence([pairs[k] for k in at.tolist()], e_values[at])
    return together >= -math.log(FALSE_LINK_CHANCE)


def _start(
    counts: Sequence[PairHistogram], n_across: int, n_times: int, trust: float
) -> tuple[Mixture, Floats]:
    """The mixture before it is fitted, and the log e-value of each camera pair (K,)."""
    sizes = [len(part.cells) for part in counts]
    pair = np.repeat(np.arange(len(counts)), sizes)
    distance, time = np.divmod(np.concatenate([part.cells for part in counts]), n_times)
    total = np.concatenate([part.counts for part in counts])
    seen = weighted_counts(pair * n_times + time, total, len(counts) * n_times)
    g0 = smoothed(seen.reshape(len(counts), n_times), np.ones(n_times))
    bets = [link_evidence(part.facts, g0[k]) for k, part in enumerate(counts)]
    evidence, e_values = trust * np.array(bets).T
    n_asked = n_across, len(counts) - n_across
    links = [
        link_test(part.facts, float(evidence[k]), n_asked[int(k >= n_across)])
        for k, part in enumerate(counts)
    ]
    buddies = [weighted_counts(part.facts.bins, None, n_times) for part in counts]
    g1 = smoothed(np.stack(buddies), g0)
    n_pairs = np.maximum(weighted_counts(pair, total, len(counts)), 1.0)
    alike = np.array([max(len(c.facts), c.near.sum()) for c in counts])
    prior = np.clip(alike / n_pairs, 1e-6, 0.2)
    ratio = np.zeros((2, N_DISTANCE_BINS))
    made = Mixture(
        n_across, links, evidence, g0, g1, prior, pair, distance, time, total,
        np.zeros(len(total)), ratio,
    )  # fmt: skip
    return made, e_values


@dataclass(frozen=True, slots=True)
class _Parameters:
    """Log odds of pi (K,), log f0 (D,), log f1 / f0 (2, D) and log g1 (K, T)."""

    prior: Floats
    log_f0: Floats
    ratio: Floats
    log_g1: Floats

    @property
    def flat(self) -> Floats:
        parts = (self.prior, self.log_f0, self.ratio.ravel(), self.log_g1.ravel())
        return np.concatenate(parts)

    def like(self, flat: Floats) -> _Parameters:
        """Others, from one row."""
        k, d = len(self.prior), len(self.log_f0)
        log_f0 = flat[k : k + d]
        log_g1 = flat[k + 3 * d :].reshape(self.log_g1.shape)
        return _Parameters(
            np.clip(flat[:k], -_LIMIT, _LIMIT),
            log_f0 - np.logaddexp.reduce(log_f0),
            np.clip(flat[k + d : k + 3 * d].reshape(2, d), -_LIMIT, _LIMIT),
            log_g1 - np.logaddexp.reduce(log_g1, axis=1, keepdims=True),
        )


class _Problem:
    """The data of one fit, and one step of expectation maximisation."""

    def __init__(self, made: Mixture) -> None:
        self.made = made
        self.n_times = made.g0.shape[1]
        self.n_distances = made.distance_ratio.shape[1]
        self.kind = (np.arange(len(made.prior)) >= made.n_across).astype(np.int64)
        self.cell_kind = self.kind[made.pair]
        self.pair_time = made.pair * self.n_times + made.time
        self.kind_distance = self.cell_kind * self.n_distances + made.distance
        self.by_distance = weighted_counts(made.distance, made.total, self.n_distances)
        self.by_pair = weighted_counts(made.pair, made.total, len(made.prior))
        self.n_pairs = np.maximum(self.by_pair, 1.0)
        self.log_g0 = np.log(made.g0)
        # Pairs of a kind that nothing is known of are different people.
        fitted = np.array(made.is_fitted)
        self.open = fitted[self.cell_kind]
        self.own_times = 1.0 / (1.0 + _OWN_TIMES * np.exp(-made.evidence))
        self.same = made.same

    def expect(self, x: _Parameters) -> float:
        """Finds the expected pairs of one person; the log likelihood."""
        made = self.made
        eta = (x.log_g1 - self.log_g0 + x.prior[:, None]).ravel().take(self.pair_time)
        eta += x.ratio.ravel().take(self.kind_distance)
        if not self.open.all():
            eta = np.where(self.open, eta, -_LIMIT)
        small = np.exp(-np.abs(eta))  # of a probability and of its logarithm at once
        self.same = made.total * np.where(eta < 0, small, 1.0) / (1.0 + small)
        other = self.by_distance @ x.log_f0 - self.by_pair @ np.logaddexp(0.0, x.prior)
        return float(other + made.total @ (np.maximum(eta, 0.0) + np.log1p(small)))

    def maximise(self) -> _Parameters:
        """The parameters that fit the expected pairs."""
        n = self.n_distances
        same = weighted_counts(self.kind_distance, self.same, 2 * n).reshape(2, n)
        other = np.maximum(self.by_distance - same.sum(axis=0), 0.0) + 1e-9
        log_f0 = np.log(other / other.sum())
        borrowed = _BORROWED_PAIRS * same[0] / max(same[0].sum(), 1e-9)
        within = _no_farther(same[1] + borrowed, same[0])
        ratio = np.stack([_falling(same[0], other), _falling(within, other)])
        k, t = len(self.kind), self.n_times
        times = weighted_counts(self.pair_time, self.same, k * t).reshape(k, t)
        by_pair = times.sum(axis=1)
        by_kind = weighted_counts(self.kind, by_pair, 2)
        usual = (by_kind + 1e-9) / np.maximum(weighted_counts(self.kind, self.n_pairs, 2), 1.0)
        usual = usual[self.kind]
        prior = (by_pair + _PRIOR_PAIRS) / (self.n_pairs + _PRIOR_PAIRS / usual)
        prior = np.clip(prior, 1e-9, 0.5)
        log_g1 = np.log(self._time_densities(times))
        return _Parameters(np.log(prior / (1 - prior)), log_f0, ratio, log_g1)

    def _time_densities(self, times: Floats) -> Floats:
        """(K, T) g1 of each camera pair, from how many pairs of one person are expected, (K, T)."""
        made = self.made
        found = np.empty_like(made.g0)
        for kind in (0, 1):
            mine = np.flatnonzero(self.kind == kind)
            if not len(mine):
                continue
            # What bets no better than chance has no law of time of its own.
            times[mine] *= self.own_times[mine, None]
            pool = smoothed(times[mine].sum(axis=0), made.g0[mine].mean(axis=0))
            found[mine] = smoothed(times[mine], 0.5 * made.g0[mine] + 0.5 * pool)
        return found


def _no_farther(counts: Floats, than: Floats) -> Floats:
    """Counts by distance bin (D,), moved nearer where they lie farther than others do: within any
    distance lies at least the share of them that lies there of the others. Of few others, whose law
    is hardly known, that says little."""
    n = max(float(counts.sum()), 1e-9)
    others = than + _BORROWED_PAIRS * counts / n
    reached = np.maximum(np.cumsum(counts) / n, np.cumsum(others) / max(others.sum(), 1e-9))
    return np.asarray(n * np.diff(reached, prepend=0.0))


def _falling(same: Floats, other: Floats) -> Floats:
    """log f1 / f0 by distance bin, (D,), from expected pairs: any law that falls."""
    share = float(same.sum() / (same.sum() + other.sum()))
    share = min(max(share, 1e-9), 0.5)
    n = same + other + _STRAY_SHARE * same.sum() + 1e-9
    p = np.clip(isotonic_decreasing(same / n, n), 1e-12, 1 - 1e-12)
    found = np.log(p / (1 - p)) - np.log(share / (1 - share))
    return np.asarray(np.logaddexp(np.minimum(found, _LIMIT), np.log(_UNLIKE_SHARE)))


def _maximise(made: Mixture, counts: Sequence[PairHistogram]) -> None:
    problem = _Problem(made)
    x = _first(problem, counts)
    for _ in range(_STRIDES):
        before = x
        x = _stride(problem, x)
        if np.abs(x.prior - before.prior)[problem.n_pairs > 1].max(initial=0.0) < _TOLERANCE:
            break
    problem.expect(x)
    made.same, made.g1, made.distance_ratio = problem.same, np.exp(x.log_g1), x.ratio
    made.prior = 1 / (1 + np.exp(-x.prior))


def _first(problem: _Problem, counts: Sequence[PairHistogram]) -> _Parameters:
    """Where the search starts: the best buddies of the link test, and whoever is closer than
    strangers are, are one person."""
    made, n = problem.made, problem.n_distances
    total = weighted_counts(made.distance, made.total, n)
    same = np.zeros(n)
    for k, part in enumerate(counts):
        if made.is_fitted[made.kind(k)] and made.evidence[k] > _HINT:
            bins = np.minimum(part.buddy_distances / part.width, n - 1).astype(np.int64)
            same += np.maximum(weighted_counts(bins, None, n), part.near)
    other = np.maximum(total - same, 0.0) + 1e-9
    ratio = _falling(np.minimum(same, total), other)
    prior = np.log(made.prior / (1 - made.prior))
    return _Parameters(
        prior, np.log(other / other.sum()), np.stack([ratio, ratio]), np.log(made.g1)
    )


def _stride(problem: _Problem, x: _Parameters) -> _Parameters:
    """Two steps of expectation maximisation, a leap along them, and a third from there; where the
    leap led down, the two steps alone."""
    problem.expect(x)
    first = problem.maximise()
    reached = problem.expect(first)
    second = problem.maximise()
    r = first.flat - x.flat
    v = second.flat - first.flat - r
    length = float(np.linalg.norm(v))
    if length < 1e-9:
        return second
    leap = max(-16.0, min(-1.0, -float(np.linalg.norm(r)) / length))
    y = x.like(x.flat - 2.0 * leap * r + leap * leap * v)
    leapt = problem.expect(y)
    if not np.isfinite(leapt) or leapt < reached:
        return second
    return problem.maximise()
