"""Expected precision of identities: of the pairs of sightings that identities hold, across cameras,
the share that is one person's, as far as can be said without labels.

Law: two sightings of an identity are one person's as surely as the two groups were that a join
brought together. So one doubtful join makes all pairs across it doubtful, however sure the rest.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from stgal_stream.core.measures.log_odds import probability


@dataclass(slots=True)
class ExpectedPrecision:
    """Over all joins of the identities as a calibration leaves them."""

    n_pairs: float = 0.0
    n_right: float = 0.0

    def add(self, n_pairs: int, log_odds: float) -> None:
        """A join with so many pairs across cameras, and its log odds of one person."""
        self.n_pairs += n_pairs
        self.n_right += n_pairs * float(probability(np.array(log_odds)))

    @property
    def value(self) -> float | None:
        """The expected share of right pairs; None where there is no pair."""
        return self.n_right / self.n_pairs if self.n_pairs else None


def n_across(first: Counter[str], second: Counter[str]) -> int:
    """Pairs of sightings of two groups that two cameras saw, from how many each camera has."""
    within = sum(n * second[camera] for camera, n in first.items())
    return first.total() * second.total() - within
