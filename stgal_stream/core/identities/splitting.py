"""Splitting: which tracklets of an identity are somebody else's, by all that is known now.

Law: an identity is what the rule that merges identities would make of its episodes. So they are
joined again, the likeliest two first: where average linkage favours one person or, where that is in
doubt, the two as groups do, and never too far apart for one person. Splitting needs the same margin
as moving, since both rename people. What joins nobody leaves. An episode is never split.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from stgal_stream.core.calibration.model import Odds
from stgal_stream.core.calibration.within_person import (
    MAX_DEVIATION,
    GroupMean,
    WithinPersonScatter,
)
from stgal_stream.core.gallery.gallery import Gallery
from stgal_stream.core.identities.expected_precision import ExpectedPrecision, n_across
from stgal_stream.core.identities.group_mean import EPISODE_GAP_S, group_means
from stgal_stream.core.identities.linkage import Linkage
from stgal_stream.core.identities.revision import IN_DOUBT, MOVE_MARGIN
from stgal_stream.core.identities.rules import IdentityRules, as_groups
from stgal_stream.core.matching.pair_scorer import PairScorer
from stgal_stream.types import Integers, Vectors

# Of a larger identity the newest tracklets are looked at, all with all; the older ones stay.
_MAX_MEMBERS = 256
_AT_ONCE = 512  # tracklets that are compared at a time, all with all


@dataclass(frozen=True, slots=True)
class Episodes:
    """The episodes of one identity (slot), each as numbers, the mean of each, and the linkage
    (K, K) between them."""

    slot: int
    numbers: list[list[int]]
    means: list[GroupMean]
    linkage: Linkage


def foreign_tracklets(
    rules: IdentityRules, precision: ExpectedPrecision
) -> Iterator[list[list[int]]]:
    """Of each identity that is several people's, the tracklets of all but the one who keeps it,
    person by person. What is still joined then is added to ``precision``.

    That is the person of the tracklets that an operator anchored or, without any, of the most
    episodes. What can be compared with nothing stays, and so does what operators linked together.
    """
    calibration = rules.scorer.calibration
    scatter = None if calibration is None else calibration.scatter
    if scatter is None:
        return
    for episodes in _all_episodes(rules):
        clusters = Clusters(
            episodes, rules.scorer.gallery, scatter, rules.min_log_odds - MOVE_MARGIN
        )
        clusters.join_all(precision)
        foreign = clusters.foreign(rules.constraints.anchored(episodes.slot))
        if not foreign:
            continue
        linked = rules.constraints.linked(episodes.slot)
        lost = set(rules.registry[episodes.slot].members)
        lost = lost.difference(n for numbers in episodes.numbers for n in numbers)
        yield [one + sorted(_tied(one, linked) & lost) for one in foreign]


def episodes_of(
    numbers: Sequence[int], gallery: Gallery, linked: Sequence[Sequence[int]] = ()
) -> list[list[int]]:
    """Tracklets as episodes: what one camera saw with breaks of up to a minute; those of which some
    tracklets are ``linked`` are one."""
    found: list[list[int]] = []
    for number in sorted(numbers, key=lambda n: (gallery[n].camera, gallery[n].start_s, n)):
        seen, before = gallery[number], gallery[found[-1][-1]] if found else None
        goes_on = before is not None and before.camera == seen.camera
        if before is not None and goes_on and seen.start_s - before.end_s <= EPISODE_GAP_S:
            found[-1].append(number)
        else:
            found.append([number])
    for link in linked:
        tied = [episode for episode in found if not set(link).isdisjoint(episode)]
        found = [episode for episode in found if episode not in tied]
        found += [[n for episode in tied for n in episode]] if tied else []
    return sorted(sorted(episode) for episode in found)


def _tied(person: Sequence[int], linked: Sequence[Sequence[int]]) -> set[int]:
    """What is linked to any tracklet of a person."""
    return {n for link in linked if not set(link).isdisjoint(person) for n in link}


# --- evidence --------------------------------------------------------------------------------


def _all_episodes(rules: IdentityRules) -> Iterator[Episodes]:
    """Of the identities that have several, some identities at a time."""
    gallery, registry = rules.scorer.gallery, rules.registry
    some: list[tuple[int, list[list[int]]]] = []
    n = 0
    for slot in registry.slots:
        members = registry[slot].members
        known = [n for n in members if gallery.comparable[n - gallery.first]][-_MAX_MEMBERS:]
        if len(known) < 2:
            continue
        episodes = episodes_of(known, gallery, rules.constraints.linked(slot))
        if len(episodes) < 2:
            continue
        if n + len(known) > _AT_ONCE:
            yield from _compared(some, rules.scorer)
            some, n = [], 0
        some.append((slot, episodes))
        n += len(known)
    yield from _compared(some, rules.scorer)


def _compared(
    identities: Sequence[tuple[int, list[list[int]]]], scorer: PairScorer
) -> Iterator[Episodes]:
    """Identities (slot, episodes) with the linkage between the episodes of each."""
    if not identities:
        return
    numbers = np.array([n for _, episodes in identities for one in episodes for n in one])
    rows = numbers - scorer.gallery.first
    d = scorer.gallery.distances(rows, rows)
    pairs, cells, begins, n_cells, start = [], [], [], 0, 0
    for _, episodes in identities:
        of_identity, cell = _pairs(episodes)
        pairs.append(start + of_identity)
        cells.append(n_cells + cell)
        begins.append(n_cells)
        n_cells += len(episodes) ** 2
        start += sum(map(len, episodes))
    at, where = np.concatenate(pairs), np.concatenate(cells)
    linkage = _linkage(scorer, numbers[at], d[at[:, 0], at[:, 1]], where, n_cells)
    found = group_means(scorer.gallery, [one for _, many in identities for one in many])
    # What cannot be compared with anything was left out, so each has a mean.
    means = [mean for mean in found if mean is not None]
    assert len(means) == len(found)
    of_each = iter(means)
    for (slot, episodes), begin in zip(identities, begins, strict=True):
        own = list(islice(of_each, len(episodes)))
        yield Episodes(slot, episodes, own, linkage.square(begin, len(episodes)))


def _pairs(episodes: Sequence[Sequence[int]]) -> tuple[Integers, Integers]:
    """All pairs (M, 2) of an identity's tracklets that are in two episodes, by position, and the
    cells (M, 2) of the two episodes, either way round."""
    which = np.repeat(np.arange(len(episodes)), [len(episode) for episode in episodes])
    i, j = np.triu_indices(len(which), 1)
    apart = which[i] != which[j]
    i, j = i[apart], j[apart]
    one, other = which[i], which[j]
    cells = np.stack([one * len(episodes) + other, other * len(episodes) + one], axis=1)
    return np.stack([i, j], axis=1), cells


def _linkage(
    scorer: PairScorer, numbers: Integers, d: Vectors, cells: Integers, n_cells: int
) -> Linkage:
    """The linkage (C,) of pairs of tracklets (M, 2) at these distances (M,), by cell (M, 2)."""
    appearance = np.full(len(numbers), np.nan)
    log_time, times_s, log_prior = np.zeros((3, len(numbers)))
    for at, scores in scorer.of_pairs(numbers, d):
        known = np.isfinite(scores.log_odds)
        appearance[at] = np.where(known, scores.log_appearance, np.nan)
        log_time[at], times_s[at] = scores.log_time, scores.times_s
        log_prior[at] = scores.log_prior
    twice = (np.repeat(values, 2) for values in (appearance, log_time, times_s, log_prior))
    return Linkage.of(Odds(*twice), cells.ravel(), n_cells)


# --- clusters --------------------------------------------------------------------------------


class Clusters:
    """The episodes of one identity, joined to people. A cluster stands where its first episode
    did; where the others did, there is none any more.

    Two clusters' means are compared by their squared distance. Where i and j are joined, that to
    any other k is (n_i d_ik + n_j d_jk) / n - n_i n_j d_ij / n^2, with n = n_i + n_j.
    """

    def __init__(
        self, episodes: Episodes, gallery: Gallery, scatter: WithinPersonScatter, limit: float
    ) -> None:
        self._scatter, self._limit = scatter, limit
        self._linkage = episodes.linkage
        self._groups = [list(numbers) for numbers in episodes.numbers]
        self._cameras = [Counter(gallery[n].camera for n in numbers) for numbers in self._groups]
        means = episodes.means
        vectors = np.array([mean.mean for mean in means])
        lengths = np.einsum("kd,kd->k", vectors, vectors)
        self._square = np.maximum(lengths[:, None] + lengths - 2.0 * vectors @ vectors.T, 0.0)
        self._n = np.array([float(mean.n) for mean in means])
        self._n_cameras = np.array([float(mean.n_cameras) for mean in means])
        k = len(means)
        self._is_there = np.ones(k, bool)
        self._log_odds, self._apart = np.full((k, k), -np.inf), np.full((k, k), np.inf)
        self._best = np.full((k, k), -np.inf)  # log odds, as pairs or as groups
        self._judge(np.arange(k))

    def _judge(self, rows: Integers) -> None:
        """Notes of some clusters (M,) the log odds with all whom they may be joined with, and by
        how many standard deviations they lie apart."""
        same = self._scatter.expected_square(
            self._n[rows, None], self._n, self._n_cameras[rows, None], self._n_cameras
        )
        square, linkage = self._square[rows], self._linkage.row(rows)
        log_odds = linkage.log_odds
        log_ratio = self._scatter.log_ratio_at(square, same)
        grouped = as_groups(log_ratio, linkage.log_prior, linkage.time)
        agree = (grouped > self._limit) & (log_odds > self._limit - IN_DOUBT)
        are_one = (log_odds > self._limit) | agree
        apart = self._scatter.deviations_at(square, same)
        are_one &= (apart <= MAX_DEVIATION) & self._is_there
        are_one[np.arange(len(rows)), rows] = False
        found = np.where(are_one, log_odds, -np.inf)
        self._log_odds[rows], self._log_odds[:, rows] = found, found.T
        self._apart[rows], self._apart[:, rows] = apart, apart.T
        best = np.maximum(log_odds, grouped)
        self._best[rows], self._best[:, rows] = best, best.T

    def join_all(self, precision: ExpectedPrecision) -> None:
        """Joins the likeliest two, of equal ones the nearest, for as long as there are any."""
        while (best := self._log_odds.max()) > -np.inf:
            i, j = np.nonzero(self._log_odds == best)
            nearest = int(self._apart[i, j].argmin())
            one, other = int(i[nearest]), int(j[nearest])
            across = n_across(self._cameras[one], self._cameras[other])
            precision.add(across, float(self._best[one, other]))
            self._join(one, other)

    def _join(self, i: int, j: int) -> None:
        self._linkage.merge(i, j)
        self._groups[i] = sorted(self._groups[i] + self._groups[j])
        self._cameras[i] += self._cameras[j]
        one, other = self._n[i], self._n[j]
        n = one + other
        square = (one * self._square[i] + other * self._square[j]) / n
        square = np.maximum(square - one * other * self._square[i, j] / n**2, 0.0)
        self._square[i], self._square[:, i] = square, square
        self._n[i], self._n_cameras[i] = n, float(len(self._cameras[i]))
        self._is_there[j] = False
        self._log_odds[j] = self._log_odds[:, j] = -np.inf
        self._judge(np.array([i]))

    def foreign(self, anchored: Sequence[int]) -> list[list[int]]:
        """All people but the one who keeps the identity. Somebody of whom nothing is known beside
        that one stays with them."""
        order = sorted(
            np.flatnonzero(self._is_there).tolist(),
            key=lambda k: (set(anchored).isdisjoint(self._groups[k]), -self._n[k]),
        )
        known = self._linkage.n[order[0]] > 0
        return [self._groups[k] for k in order[1:] if known[k]]
