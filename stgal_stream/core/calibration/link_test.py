"""Whether people go from one camera to another: a test on the travel times of best buddies."""

from __future__ import annotations

import math
from enum import StrEnum

import numpy as np

from stgal_stream.core.calibration.time_grid import TimeGrid
from stgal_stream.types import Floats

MIN_BUDDIES = 12  # three groups of four expected counts: fewer give the chi-squared test no freedom
_MIN_EXPECTED = 4  # counts a group: below it the chi-squared approximation fails (Cochran 1954)
_LINKED_SIGMAS = 6.0  # asked of every camera pair at every calibration, so chance must be rare
_OVERLAP_CHANCE = 1e-5  # of so many simultaneous best buddies, if cameras shared nobody


class LinkStatus(StrEnum):
    """What is known about a camera pair: whether people go from one to the other."""

    LINKED = "linked"
    NOT_LINKED = "not_linked"
    TOO_LITTLE_DATA = "too_little_data"


def link_test(
    buddy_times: Floats, background: Floats, simultaneous: tuple[int, float] = (0, 1.0)
) -> LinkStatus:
    """A chi-squared test of the best buddies' travel times (M,), in seconds, against the
    ``background`` of all pairs, a probability for each bin of the time grid.

    Where cameras share no people, or embeddings are noise, the two have one law. Views that overlap
    show at one moment alone, which is asked by itself, exactly: ``simultaneous`` is how many best
    buddies were in view at one time, and the chance of it for any pair.
    """
    n = len(buddy_times)
    if n < MIN_BUDDIES:
        return LinkStatus.TOO_LITTLE_DATA
    grid = TimeGrid(n=len(background))
    observed = np.bincount(grid.bins(buddy_times), minlength=grid.n).astype(np.float64)
    if _binomial_tail(simultaneous[0], n, simultaneous[1]) < _OVERLAP_CHANCE:
        return LinkStatus.LINKED
    expected = background * n
    last_group = max(1, n // _MIN_EXPECTED - 1)
    groups = np.minimum(np.cumsum(expected) // _MIN_EXPECTED, last_group).astype(int)
    o, e = np.bincount(groups, observed), np.bincount(groups, expected)
    o, e = o[e > 0], e[e > 0]
    statistic = float(((o - e) ** 2 / e).sum())
    freedom = max(1, len(e) - 1)
    limit = freedom + _LINKED_SIGMAS * np.sqrt(2.0 * freedom)
    return LinkStatus.LINKED if statistic > limit else LinkStatus.NOT_LINKED


def _binomial_tail(k: int, n: int, p: float) -> float:
    """The chance of ``k`` or more of ``n`` where each has probability ``p``."""
    if k <= n * p:
        return 1.0
    i = np.arange(k, n + 1)
    log_choose = [math.lgamma(n + 1) - math.lgamma(j + 1) - math.lgamma(n - j + 1) for j in i]
    return float(np.exp(log_choose + i * math.log(p) + (n - i) * math.log1p(-p)).sum())
