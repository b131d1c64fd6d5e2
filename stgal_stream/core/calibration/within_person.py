"""Within-person scatter: how far apart one person's episodes lie, and two groups of them.

An *episode* is what one camera saw of somebody at one time. One person's episodes scatter about a
direction of their own, and a camera adds a difference that lasts (front in the one, back in the
other): a random effect of person and camera. What scatters from episode to episode averages out
over the n and m episodes of two groups, what lasts only over the c and k cameras that saw them. So
the squared distance of their means is on average

    (S - L) (1/n + 1/m) / 2 + L (1/c + 1/k) / 2,

and varies as a chi-square over its degrees of freedom does. Two different people lie T - S farther
apart. Many episodes of two people who look alike therefore separate their means where no single
pair would.

S: ``mean_square_same``, the mean squared distance of two single episodes of one person in two
cameras. L: ``lasting``, the part of it that lasts; all of it, where nothing says how far apart one
person's episodes in one camera lie. T: ``mean_square_all``, that of all pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stgal_stream.types import Floats, Integers

# Standard deviations: one person's groups go beyond it with a chance of 1 in 1,000.
MAX_DEVIATION = 3.09
_MIN_WITHIN = 50.0  # pairs of one person in one camera, to say how far apart those lie
_QUARTILE = 0.6745  # of a standard Gaussian


@dataclass(frozen=True, slots=True)
class GroupMean:
    """A group of episodes: their ``mean`` (D,), their number ``n`` and that of their cameras."""

    mean: Floats
    n: int
    n_cameras: int = 1


@dataclass(frozen=True, slots=True)
class GroupMeans:
    """Groups side by side: (N, D), (N,) and (N,)."""

    mean: Floats
    n: Floats
    n_cameras: Floats

    @classmethod
    def of(cls, groups: Sequence[GroupMean]) -> GroupMeans:
        """Those of some groups."""
        counts = np.array([(float(group.n), float(group.n_cameras)) for group in groups])
        return cls(np.array([group.mean for group in groups]), counts[:, 0], counts[:, 1])

    def __getitem__(self, at: Integers) -> GroupMeans:
        return GroupMeans(self.mean[at], self.n[at], self.n_cameras[at])


@dataclass(frozen=True, slots=True)
class WithinPersonScatter:
    """Of a window: S, the degrees of freedom of its chi-square, T, and L."""

    mean_square_same: float
    degrees_of_freedom: float
    mean_square_all: float
    lasting: float = 0.0

    @classmethod
    def of(
        cls, edges: Floats, same: Floats, total: Floats, within: Floats | None = None
    ) -> WithinPersonScatter | None:
        """From edges of distance bins (N + 1,), and in each how many pairs of one person are
        expected and how many pairs there are, (N,), and how many of one person ``within`` one
        camera (N,); None where one person's do not differ from all.
        """
        n_same, n_total = float(same.sum()), float(total.sum())
        if not 0.0 < n_same < n_total:
            return None
        mean_square_same, v = _chi_square(edges, same)
        centres = (edges[1:] + edges[:-1]) / 2.0
        mean_square_all = float(centres**2 @ total) / n_total
        if mean_square_all <= mean_square_same:
            return None
        lasting = mean_square_same
        if within is not None and within.sum() >= _MIN_WITHIN:
            lasting = max(0.0, mean_square_same - _chi_square(edges, within)[0])
        freedom = float(2.0 / (9.0 * v))
        return cls(mean_square_same, freedom, mean_square_all, lasting)

    def deviations(self, one: GroupMean, others: GroupMeans) -> Floats:
        """(N,) by how many standard deviations groups lie farther from one than one person's do:
        beyond ``MAX_DEVIATION`` they are two people."""
        return self.deviations_at(_apart(one, others), self._expected(one, others))

    def deviations_at(self, square: Floats, same: Floats) -> Floats:
        """The same of squared distances of two groups' means, and ``expected_square`` of each."""
        ratio = square / same
        v = 2.0 / (9.0 * self.degrees_of_freedom)
        return np.asarray((np.cbrt(ratio) - (1.0 - v)) / math.sqrt(v))

    def log_ratio(self, one: GroupMean | GroupMeans, others: GroupMeans) -> Floats:
        """(N,) by how much the distance of their means adds to the log odds that a group and each
        of the others, or groups pair by pair, are one person and not two."""
        return self.log_ratio_at(_apart(one, others), self._expected(one, others))

    def pair_log_ratio(self, groups: Sequence[GroupMean], pairs: Integers) -> Floats:
        """(M,) the same of pairs (M, 2) among some groups."""
        many = GroupMeans.of(groups)
        return self.log_ratio(many[pairs[:, 0]], many[pairs[:, 1]])

    def log_ratio_at(self, square: Floats, same: Floats) -> Floats:
        """The same of squared distances of two groups' means, and ``expected_square`` of each."""
        different = same + self.mean_square_all - self.mean_square_same
        ratio = np.log(different / same) - square * (1.0 / same - 1.0 / different)
        return 0.5 * self.degrees_of_freedom * ratio

    def _expected(self, one: GroupMean | GroupMeans, others: GroupMeans) -> Floats:
        return self.expected_square(
            np.asarray(one.n), others.n, np.asarray(one.n_cameras), others.n_cameras
        )

    def expected_square(self, n: Floats, m: Floats, c: Floats, k: Floats) -> Floats:
        """The mean squared distance of the means of two groups of one person, of n and m episodes
        in c and k cameras."""
        episodes = 1.0 / n + 1.0 / m
        cameras = 1.0 / c + 1.0 / k
        passing = self.mean_square_same - self.lasting
        return np.asarray(0.5 * (passing * episodes + self.lasting * cameras))


def _chi_square(edges: Floats, counts: Floats) -> tuple[float, float]:
    """The mean of squared distances, and the variance of their cube root over its square at a mean
    of one, from edges of distance bins (N + 1,) and counts (N,).

    The cube root of a chi-square is nearly Gaussian (Wilson and Hilferty 1931), so its quartiles
    give both, and a few pairs far out change nothing.
    """
    reached = np.concatenate([[0.0], np.cumsum(counts) / counts.sum()])
    low, middle, high = np.cbrt(np.interp((0.25, 0.5, 0.75), reached, edges) ** 2)
    relative = (high - low) / (2.0 * _QUARTILE * middle)
    # For a mean of one the cube root has mean 1 - v and variance v, and v is 2 / (9 freedom).
    root = (math.sqrt(1.0 + 4.0 * relative**2) - 1.0) / (2.0 * relative)
    v = root * root
    return float((middle / (1.0 - v)) ** 3), float(v)


def _apart(one: GroupMean | GroupMeans, others: GroupMeans) -> Floats:
    """(N,) squared distances of one group's mean to others', or pair by pair."""
    apart = others.mean - one.mean
    return np.asarray(np.einsum("nd,nd->n", apart, apart))
