"""Within-person scatter: how far apart one person's episodes lie, and two groups of them.

An *episode* is what one camera saw of somebody at one time. One person's episodes scatter about a
direction of their own. So the means of two groups of n and m of them lie, as a squared distance,
S (1/n + 1/m) / 2 apart on average, and vary as a chi-square over its degrees of freedom does. Two
different people lie T - S farther apart. Many episodes of two people who look alike therefore
separate their means where no single pair would.

S: ``mean_square_same``, the mean squared distance of two single episodes of one person.
T: ``mean_square_all``, that of all pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stgal_stream.types import Floats

# Standard deviations: one person's groups go beyond it with a chance of 1 in 1,000.
MAX_DEVIATION = 3.09
_QUARTILE = 0.6745  # of a standard Gaussian


@dataclass(frozen=True, slots=True)
class GroupMean:
    """A group of episodes: their ``mean`` (D,) and their number ``n``."""

    mean: Floats
    n: int


@dataclass(frozen=True, slots=True)
class WithinPersonScatter:
    """Of a window: S, the degrees of freedom of its chi-square, T, and the log prior odds that any
    pair is one person."""

    mean_square_same: float
    degrees_of_freedom: float
    mean_square_all: float
    log_prior_odds: float

    @classmethod
    def of(cls, edges: Floats, same: Floats, total: Floats) -> WithinPersonScatter | None:
        """From edges of distance bins (N + 1,), and in each how many pairs of one person are
        expected and how many pairs there are, (N,); None where one person's do not differ from all.

        The cube root of a chi-square is nearly Gaussian (Wilson and Hilferty 1931), so its
        quartiles give both parameters, and a few pairs far out change nothing.
        """
        n_same, n_total = float(same.sum()), float(total.sum())
        if not 0.0 < n_same < n_total:
            return None
        reached = np.concatenate([[0.0], np.cumsum(same) / n_same])
        low, middle, high = np.cbrt(np.interp((0.25, 0.5, 0.75), reached, edges) ** 2)
        relative = (high - low) / (2.0 * _QUARTILE * middle)
        # For a mean of one the cube root has mean 1 - v and variance v, and v is 2 / (9 freedom).
        root = (math.sqrt(1.0 + 4.0 * relative**2) - 1.0) / (2.0 * relative)
        v = root * root
        mean_square_same = float((middle / (1.0 - v)) ** 3)
        centres = (edges[1:] + edges[:-1]) / 2.0
        mean_square_all = float(centres**2 @ total) / n_total
        if mean_square_all <= mean_square_same:
            return None
        log_prior_odds = math.log(n_same / (n_total - n_same))
        return cls(mean_square_same, float(2.0 / (9.0 * v)), mean_square_all, log_prior_odds)

    def deviations(self, one: GroupMean, others: Sequence[GroupMean]) -> Floats:
        """(N,) by how many standard deviations groups lie farther from one than one person's do:
        beyond ``MAX_DEVIATION`` they are two people."""
        square, share = _apart(one, others)
        ratio = square / (0.5 * self.mean_square_same * share)
        v = 2.0 / (9.0 * self.degrees_of_freedom)
        return np.asarray((np.cbrt(ratio) - (1.0 - v)) / math.sqrt(v))

    def log_odds(self, one: GroupMean, other: GroupMean) -> float:
        """The log odds that two groups are one person and not two, from the distance of their
        means."""
        square, share = (float(part[0]) for part in _apart(one, [other]))
        same = 0.5 * self.mean_square_same * share
        different = same + self.mean_square_all - self.mean_square_same
        ratio = math.log(different / same) - square * (1.0 / same - 1.0 / different)
        return 0.5 * self.degrees_of_freedom * ratio + self.log_prior_odds


def _apart(one: GroupMean, others: Sequence[GroupMean]) -> tuple[Floats, Floats]:
    """(N,) squared distances of one group's mean to others', and 1/n + 1/m of their sizes."""
    apart = np.stack([other.mean for other in others]) - one.mean
    share = 1.0 / one.n + 1.0 / np.array([float(other.n) for other in others])
    return np.einsum("nd,nd->n", apart, apart), share
