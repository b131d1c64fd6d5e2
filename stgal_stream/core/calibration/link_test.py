"""Whether people go from one camera to another: a test by betting on travel times.

Best buddies are taken from the closest to the farthest. Before each one a bet is placed on its
travel time: a density learned from those before it. Where the cameras share nobody, appearance says
nothing about time, each bet is fair, and what a stake of one has become exceeds 1/p with a chance
of p at most, at any sample size and wherever one stops (an e-value; Ville 1939, Shafer 2021). So
the limit is exact for six best buddies as for six hundred, and poor ones at the end take nothing
back.

One fact counts once: buddies of the same two tracks, or of a person (somebody as alike) who was
counted before, are left out. Of equally close candidates the nearest in time is taken, as people
who come back all day are equally close at every visit; the fair bet knows how many there were.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import numpy as np

from stgal_stream.types import CameraPair, Floats, Integers, Mask

FALSE_LINK_CHANCE = 1e-4  # of a calibration, whatever its number of camera pairs
MIN_BUDDIES = 4  # with the best of luck the stakes of three are not enough
_KERNEL_BINS = 2.0  # a bet spreads over so many bins: 16 % of a travel time, as people's paces do
_MAX_FACTS = 200  # the closest: more take time and decide nothing
# Whose evidence is taken together: the work grows with their cube, and a hundred show enough.
_MOST_CAMERAS = 100


class LinkStatus(StrEnum):
    """What is known about a camera pair: whether people go from one to the other."""

    LINKED = "linked"
    NOT_LINKED = "not_linked"
    TOO_LITTLE_DATA = "too_little_data"


@dataclass(frozen=True, slots=True)
class BuddyTimes:
    """Best buddies of one camera pair (M,), the closest first: the bin of the travel time and, for
    each, among how many equally close candidates it was the nearest in time."""

    bins: Integers
    n_equal: Integers

    def __len__(self) -> int:
        return len(self.bins)


def link_evidence(found: BuddyTimes, background: Floats) -> tuple[float, float]:
    """The evidence against "the cameras share nobody", from best buddies and the ``background`` of
    all pairs, a probability for each bin of the time grid (n,): the logarithms of the most that a
    stake of one was worth, and of what stakes are worth in the mean of which one stops after each
    buddy. The first exceeds log 1/p with a chance of p; the second is an e-value, so it multiplies.
    """
    n = min(len(found), _MAX_FACTS)
    if not n:
        return 0.0, 0.0
    nulls = nearest_of(background, found.n_equal[:n])
    kernels = _kernels(len(background))[found.bins[:n]]
    before = np.concatenate([np.zeros((1, len(background))), np.cumsum(kernels, axis=0)[:-1]])
    staked = (nulls + before) / np.arange(1, n + 1)[:, None]
    at = np.arange(n), found.bins[:n]
    wealth = np.cumsum(np.log(staked[at]) - np.log(np.maximum(nulls[at], 1e-300)))
    return float(max(0.0, wealth.max())), float(np.logaddexp.reduce(wealth) - math.log(n))


def most_telling(pairs: Sequence[CameraPair], n_buddies: Integers) -> Mask:
    """(K,) which camera pairs are of the cameras that have the most best buddies, up to a most.

    A bet is fair whatever the number of buddies, so what these show together is an e-value still.
    """
    total: dict[str, int] = {}
    for (a, b), n in zip(pairs, n_buddies.tolist(), strict=True):
        for name in {a, b}:
            total[name] = total.get(name, 0) + n
    chosen = set(sorted(total, key=lambda name: (-total[name], name))[:_MOST_CAMERAS])
    return np.array([a in chosen and b in chosen for a, b in pairs], bool)


def joint_evidence(pairs: Sequence[CameraPair], evidence: Floats) -> float:
    """The logarithm of an e-value against "nobody is seen twice", from those of camera pairs (K,).

    Where cameras share nobody, what one adds to those before says nothing new of them: along a tree
    of camera pairs e-values multiply, and the mean over all trees is one. A camera with itself is
    independent of all pairs; half of the stake on it is kept.
    """
    names = sorted({name for pair in pairs for name in pair})
    number = {name: i for i, name in enumerate(names)}
    log_weights = np.zeros((len(names), len(names)))
    alone = 0.0
    for (a, b), log_e in zip(pairs, evidence.tolist(), strict=True):
        if a == b:
            alone += float(np.logaddexp(0.0, log_e)) - math.log(2.0)
        else:
            i, j = number[a], number[b]
            log_weights[i, j] = log_weights[j, i] = log_e
    return alone + _log_mean_over_trees(log_weights)


def _log_mean_over_trees(log_weights: Floats) -> float:
    """The logarithm of the mean, over all trees that span n nodes, of the product of the weights on
    a tree's edges, from their logarithms (n, n).

    Kirchhoff's matrix-tree theorem and Cayley's n^(n-2). A determinant's differences lose all
    digits where weights span e^500; so nodes are taken out one by one instead, each star replaced
    by the mesh that has the same trees.
    """
    n = len(log_weights)
    left = log_weights.copy()
    np.fill_diagonal(left, -np.inf)
    total = 0.0
    for k in range(n - 1):
        star = left[k, k + 1 :]
        strength = float(np.logaddexp.reduce(star))
        total += strength
        mesh = star[:, None] + star[None, :] - strength
        np.fill_diagonal(mesh, -np.inf)
        left[k + 1 :, k + 1 :] = np.logaddexp(left[k + 1 :, k + 1 :], mesh)
    return total - max(0, n - 2) * math.log(max(n, 1))


def link_test(found: BuddyTimes, evidence: float, n_camera_pairs: int) -> LinkStatus:
    """The verdict on one of so many camera pairs that are asked at once."""
    if evidence >= math.log(max(1, n_camera_pairs) / FALSE_LINK_CHANCE):
        return LinkStatus.LINKED
    return LinkStatus.TOO_LITTLE_DATA if len(found) < MIN_BUDDIES else LinkStatus.NOT_LINKED


def nearest_of(background: Floats, n_equal: Integers) -> Floats:
    """(M, n) the law of the smallest of ``n_equal`` (M,) travel times drawn from a background."""
    beyond = np.concatenate([[1.0], np.clip(1.0 - np.cumsum(background), 0.0, 1.0)])
    powers = beyond[None, :] ** n_equal[:, None]
    return np.asarray(powers[:, :-1] - powers[:, 1:])


@lru_cache(maxsize=4)
def _kernels(n: int) -> Floats:
    """(n, n) how a bet is spread about a travel time in each bin; zero is a point of its own."""
    bins = np.arange(1, n)
    spread = np.exp(-0.5 * ((bins[:, None] - bins[None, :]) / _KERNEL_BINS) ** 2)
    kernels = np.zeros((n, n))
    kernels[0, 0] = 1.0
    kernels[1:, 1:] = spread / spread.sum(axis=1, keepdims=True)
    return kernels
