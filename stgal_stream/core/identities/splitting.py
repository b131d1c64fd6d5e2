"""Splitting: which tracklets of an identity are somebody else's, by all that is known now.

Law: an identity is what the rule that merges identities would make of its episodes. So they are
joined again, the likeliest two first: where average linkage favours one person or, where that is in
doubt, the two as groups do, and never too far apart for one person. The margin that moves a
tracklet keeps one, too: a split is a rename. What joins nobody leaves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stgal_stream.core.calibration.model import Odds
from stgal_stream.core.calibration.within_person import (
    MAX_DEVIATION,
    GroupMean,
    GroupMeans,
    WithinPersonScatter,
)
from stgal_stream.core.gallery.gallery import Gallery
from stgal_stream.core.identities.group_mean import EPISODE_GAP_S, group_mean
from stgal_stream.core.identities.linkage import Linkage
from stgal_stream.core.identities.revision import IN_DOUBT, MOVE_MARGIN
from stgal_stream.core.identities.rules import IdentityRules
from stgal_stream.core.matching.pair_scorer import PairScorer
from stgal_stream.core.measures.log_odds import LOG_ODDS_LIMIT
from stgal_stream.types import Integers

_MAX_MEMBERS = 256  # of a larger identity the newest tracklets are looked at: all with all


@dataclass(frozen=True, slots=True)
class Episodes:
    """The episodes of one identity, each as numbers, and the linkage (K, K) between them."""

    slot: int
    numbers: list[list[int]]
    linkage: Linkage


def foreign_tracklets(rules: IdentityRules) -> Iterator[list[list[int]]]:
    """Of each identity that is several people's, the tracklets of all but the one who keeps it,
    person by person.

    That is the person of the tracklets that an operator anchored or, without any, of the most
    episodes. What can be compared with nothing stays, and so does what operators linked together.
    """
    calibration = rules.scorer.calibration
    scatter = None if calibration is None else calibration.scatter
    if scatter is None:
        return
    for episodes in _all_episodes(rules):
        clusters = Clusters(episodes, rules.scorer.gallery, scatter)
        clusters.join_all(rules.min_log_odds - MOVE_MARGIN)
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
    end_s = 0.0
    for number in sorted(numbers, key=lambda n: (gallery[n].camera, gallery[n].start_s, n)):
        seen = gallery[number]
        is_next = bool(found) and gallery[found[-1][-1]].camera == seen.camera
        if is_next and seen.start_s - end_s <= EPISODE_GAP_S:
            found[-1].append(number)
            end_s = max(end_s, seen.end_s)
        else:
            found.append([number])
            end_s = seen.end_s
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
    """Of the identities that have several."""
    gallery, registry = rules.scorer.gallery, rules.registry
    slots, episodes = [], []
    for slot in registry.slots:
        members = registry[slot].members
        known = [n for n in members if gallery.comparable[n - gallery.first]][-_MAX_MEMBERS:]
        found = episodes_of(known, gallery, rules.constraints.linked(slot))
        if len(found) > 1:
            slots.append(slot)
            episodes.append(found)
    ends = np.cumsum([0, *(len(found) ** 2 for found in episodes)]).tolist()
    parts = [_pairs(found, start) for found, start in zip(episodes, ends, strict=False)]
    if not parts:
        return
    numbers, cells = (np.concatenate(part) for part in zip(*parts, strict=True))
    linkage = _linkage(rules.scorer, numbers, cells, ends[-1])
    for slot, found, start in zip(slots, episodes, ends, strict=False):
        yield Episodes(slot, found, linkage.square(start, len(found)))


def _pairs(episodes: Sequence[Sequence[int]], start: int) -> tuple[Integers, Integers]:
    """The numbers (M, 2) of all tracklets in two episodes, and the cell (M, 2) of the two episodes
    either way round, of a square of cells from ``start`` on."""
    numbers = np.concatenate([np.array(episode, np.int64) for episode in episodes])
    which = np.repeat(np.arange(len(episodes)), [len(episode) for episode in episodes])
    i, j = np.triu_indices(len(numbers), 1)
    apart = which[i] != which[j]
    i, j = i[apart], j[apart]
    one, other = which[i], which[j]
    cells = np.stack([one * len(episodes) + other, other * len(episodes) + one], axis=1)
    return np.stack([numbers[i], numbers[j]], axis=1), start + cells


def _linkage(scorer: PairScorer, numbers: Integers, cells: Integers, n_cells: int) -> Linkage:
    """The linkage (C,) of pairs of tracklets (M, 2) by cell (M, 2)."""
    appearance = np.full(len(numbers), np.nan)
    log_time, times_s = np.zeros(len(numbers)), np.zeros(len(numbers))
    for at, scores in scorer.of_pairs(numbers):
        known = np.isfinite(scores.log_odds)
        appearance[at] = np.where(known, scores.log_appearance, np.nan)
        log_time[at], times_s[at] = scores.log_time, scores.times_s
    twice = (np.repeat(values, 2) for values in (appearance, log_time, times_s))
    return Linkage.of(Odds(*twice), cells.ravel(), n_cells)


# --- clusters --------------------------------------------------------------------------------


class Clusters:
    """The episodes of one identity, joined to people. What was joined to another is not ``alive``
    any more."""

    def __init__(self, episodes: Episodes, gallery: Gallery, scatter: WithinPersonScatter) -> None:
        self._scatter = scatter
        self._groups = [list(numbers) for numbers in episodes.numbers]
        self._cameras = [{gallery[n].camera for n in numbers} for numbers in self._groups]
        self._means = [_mean(gallery, numbers) for numbers in self._groups]
        self._linkage = episodes.linkage
        k = len(self._groups)
        self._alive = np.ones(k, bool)
        self._above = np.triu(np.ones((k, k), bool), 1)
        self._apart, self._by_group = np.full((k, k), np.inf), np.full((k, k), -np.inf)
        for i in range(1, k):
            self._compare(i, np.arange(i))

    def _compare(self, i: int, others: Integers) -> None:
        """A group with some others (M,): deviations and log odds of the two as groups."""
        means = GroupMeans.of([self._means[j] for j in others.tolist()])
        one = self._means[i]
        for table, values in (
            (self._apart, self._scatter.deviations(one, means)),
            (self._by_group, self._scatter.log_odds(one, means)),
        ):
            table[i, others] = table[others, i] = values

    def join_all(self, limit: float) -> None:
        """Joins the likeliest two, of equal ones the nearest, for as long as they are one person
        by these log odds."""
        while True:
            log_odds = self._linkage.log_odds
            by_group = np.minimum(self._by_group, LOG_ODDS_LIMIT) + self._linkage.time
            in_doubt = log_odds > limit - IN_DOUBT
            are_one = (log_odds > limit) | (in_doubt & (by_group > limit))
            i, j = np.nonzero(are_one & self._above & (self._apart <= MAX_DEVIATION))
            if not len(i):
                return
            best = np.lexsort((self._apart[i, j], -log_odds[i, j]))[0]
            self._join(int(i[best]), int(j[best]))

    def _join(self, i: int, j: int) -> None:
        self._linkage.merge(i, j)
        self._groups[i] = sorted(self._groups[i] + self._groups[j])
        self._cameras[i] |= self._cameras[j]
        one, other, n = self._means[i], self._means[j], self._means[i].n + self._means[j].n
        mean = (one.n * one.mean + other.n * other.mean) / n
        self._means[i] = GroupMean(mean, n, len(self._cameras[i]))
        self._alive[j] = False
        self._apart[j] = self._apart[:, j] = np.inf  # so it is joined with nobody
        others = np.flatnonzero(self._alive)
        if len(others) > 1:
            self._compare(i, others[others != i])

    def foreign(self, anchored: Sequence[int]) -> list[list[int]]:
        """All people but the one who keeps the identity. Of whom nothing is known beside that one,
        stays."""
        order = sorted(
            np.flatnonzero(self._alive).tolist(),
            key=lambda k: (set(anchored).isdisjoint(self._groups[k]), -self._means[k].n),
        )
        known = self._linkage.n[order[0]] > 0
        return [self._groups[k] for k in order[1:] if known[k]]


def _mean(gallery: Gallery, numbers: Sequence[int]) -> GroupMean:
    found = group_mean(gallery, numbers)
    assert found is not None
    return found
