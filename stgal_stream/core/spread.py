"""How far apart one person's looks lie, and what that says of two groups of them.

The law. A look is what one camera saw of somebody at one time. One person's looks scatter about a
direction of his own, so the means of two groups of n and m of them lie S (1/n + 1/m) / 2 apart on
average, as a squared distance, where S is that of two single ones, and vary as a chi-square over
its degrees of freedom does; two strangers' lie T - S farther apart. So many looks at two people who
look alike part their means where no single pair would.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TOO_FAR = 3.09  # standard deviations: one person goes beyond by a chance of 1 in 1,000
_QUARTILE = 0.6745  # of a standard Gaussian


@dataclass(frozen=True, slots=True)
class Whole:
    """A group of looks as a whole: their ``mean`` (D,) and their number ``n``."""

    mean: Floats
    n: int


@dataclass(frozen=True, slots=True)
class Spread:
    """Of a window: ``square`` is the mean squared distance S of one person's pairs, ``freedom`` the
    degrees of freedom of their chi-square, ``strangers`` the mean squared distance T of all pairs,
    ``log_prior_odds`` those of any pair being one person."""

    square: float
    freedom: float
    strangers: float
    log_prior_odds: float

    @classmethod
    def of(cls, edges: Floats, same: Floats, total: Floats) -> Spread | None:
        """From the edges of distance bins (N + 1,), how many pairs of one person are expected in
        each and how many pairs there are (N,); None where one person's do not differ from all.

        The cube root of a chi-square is nearly Gaussian (Wilson and Hilferty 1931), so its
        quartiles give both parameters, and what few pairs say far out changes nothing.
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
        square = float((middle / (1.0 - v)) ** 3)
        centres = (edges[1:] + edges[:-1]) / 2.0
        strangers = float(centres**2 @ total) / n_total
        if strangers <= square:
            return None
        return cls(square, float(2.0 / (9.0 * v)), strangers, math.log(n_same / (n_total - n_same)))

    def excess(self, one: Whole, others: Sequence[Whole]) -> Floats:
        """(N,) by how many standard deviations groups lie farther from one than one person's do:
        beyond ``TOO_FAR`` they are two people."""
        square, share = _apart(one, others)
        ratio = square / (0.5 * self.square * share)
        v = 2.0 / (9.0 * self.freedom)
        return np.asarray((np.cbrt(ratio) - (1.0 - v)) / math.sqrt(v))

    def log_odds(self, one: Whole, other: Whole) -> float:
        """The log odds that two groups are one person and not two strangers, from the distance of
        their means."""
        square, share = (float(part[0]) for part in _apart(one, [other]))
        same = 0.5 * self.square * share
        strange = same + self.strangers - self.square
        ratio = math.log(strange / same) - square * (1.0 / same - 1.0 / strange)
        return 0.5 * self.freedom * ratio + self.log_prior_odds


def _apart(one: Whole, others: Sequence[Whole]) -> tuple[Floats, Floats]:
    """(N,) squared distances of one group's mean to others', and 1/n + 1/m of their sizes."""
    apart = np.stack([other.mean for other in others]) - one.mean
    share = 1.0 / one.n + 1.0 / np.array([float(other.n) for other in others])
    return np.einsum("nd,nd->n", apart, apart), share
