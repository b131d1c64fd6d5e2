"""Log odds: the limit of evidence, and the way back to probabilities."""

from __future__ import annotations

import numpy as np

from stgal_stream.types import Floats

# No single measurement says more than 3,000 to 1 (e^8) for or against one person: a histogram of
# some ten thousand pairs cannot know more, and one wrong certainty must not outweigh all others.
LOG_ODDS_LIMIT = 8.0


def probability(log_odds: Floats) -> Floats:
    """The probabilities of log odds (...), without overflow at either end."""
    shrunk = np.exp(-np.abs(log_odds))
    return np.asarray(np.where(log_odds >= 0, 1.0, shrunk) / (1.0 + shrunk))
