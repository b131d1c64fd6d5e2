"""How far apart one person's looks lie, and what that says of two groups of them.

The law. A look is what one camera saw of somebody in a row. One person's looks scatter about a
direction of his own, so the means of two groups of n and m of them lie S (1/n + 1/m) / 2 apart on
average, as a squared distance, where S is that of two single ones, and vary as a chi-square over
its degrees of freedom does; two strangers' lie T - S farther apart. So many looks at two people who
look alike part their means where no single pair would.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_TOO_FAR = 3.09  # standard deviations: one person goes beyond by a chance of 1 in 1,000


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
    def of(cls, squares: Floats, same: Floats, total: Floats) -> Spread | None:
        """By the method of moments, from squared distances (N,), how many pairs of one person are
        expected at each and how many pairs there are; None where one person's do not differ from
        all."""
        n_same, n_total = float(same.sum()), float(total.sum())
        if not 0.0 < n_same < n_total:
            return None
        mean, strangers = float(squares @ same) / n_same, float(squares @ total) / n_total
        variance = float((squares - mean) ** 2 @ same) / n_same
        if not (variance > 0.0 and strangers > mean > 0.0):
            return None
        log_prior = math.log(n_same / (n_total - n_same))
        return cls(mean, 2.0 * mean * mean / variance, strangers, log_prior)

    def excess(self, square: Floats, share: Floats) -> Floats:
        """By how many standard deviations squared distances (N,) of groups' means exceed what one
        person's have; ``share`` (N,) is 1/n + 1/m of the groups' sizes. The chi-square's cube root
        is nearly Gaussian (Wilson and Hilferty 1931)."""
        ratio = square / (0.5 * self.square * share)
        variance = 2.0 / (9.0 * self.freedom)
        return np.asarray((np.cbrt(ratio) - (1.0 - variance)) / math.sqrt(variance))

    def is_too_far(self, first: Floats, second: Floats) -> bool:
        """Whether groups of looks (n, D) and (m, D) are two people."""
        square, share = _apart(first, second)
        return float(self.excess(np.array([square]), np.array([share]))[0]) > _TOO_FAR

    def log_odds(self, first: Floats, second: Floats) -> float:
        """The log odds that groups of looks (n, D) and (m, D) are one person and not two strangers,
        from the distance of their means."""
        square, share = _apart(first, second)
        same = 0.5 * self.square * share
        other = same + self.strangers - self.square
        ratio = math.log(other / same) - square * (1.0 / same - 1.0 / other)
        return 0.5 * self.freedom * ratio + self.log_prior_odds

    def groups(self, looks: list[Floats]) -> list[list[int]]:
        """Which groups of looks, each (n, D), are one person: the nearest two are joined for as
        long as they are not too far apart; those of the most looks first."""
        means = np.stack([group.mean(axis=0) for group in looks])
        n = np.array([float(len(group)) for group in looks])
        found = [[i] for i in range(len(n))]
        alive = list(range(len(n)))
        while len(alive) > 1:
            i, j, excess = self._nearest(means[alive], n[alive])
            if excess > _TOO_FAR:
                break
            kept, gone = alive[i], alive[j]
            total = n[kept] + n[gone]
            means[kept] = (n[kept] * means[kept] + n[gone] * means[gone]) / total
            n[kept] = total
            found[kept] += found[gone]
            del alive[j]
        return sorted((found[k] for k in alive), key=lambda group: -n[group[0]])

    def _nearest(self, means: Floats, n: Floats) -> tuple[int, int, float]:
        """The two groups, first before second, that exceed least, and by how much."""
        lengths = np.einsum("nd,nd->n", means, means)
        square = lengths[:, None] + lengths - 2.0 * means @ means.T
        excess = self.excess(np.maximum(square, 0.0), 1.0 / n[:, None] + 1.0 / n)
        excess[np.tril_indices(len(n))] = np.inf
        i, j = divmod(int(np.argmin(excess)), len(n))
        return i, j, float(excess[i, j])


def _apart(first: Floats, second: Floats) -> tuple[float, float]:
    """The squared distance of two groups' means, and 1/n + 1/m of their sizes."""
    apart = first.mean(axis=0) - second.mean(axis=0)
    return float(apart @ apart), 1.0 / len(first) + 1.0 / len(second)
