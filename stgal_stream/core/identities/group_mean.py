"""Groups of tracklets compared as a whole, by the means of their episodes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from stgal_stream.core.calibration.within_person import (
    MAX_DEVIATION,
    GroupMean,
    WithinPersonScatter,
)
from stgal_stream.core.gallery.gallery import Gallery

# What one camera saw with breaks of up to so long is one episode: its light and pose are alike.
EPISODE_GAP_S = 60.0
_MAX_MEMBERS = 256  # a larger group is represented by its newest tracklets


def group_mean(gallery: Gallery, numbers: Sequence[int]) -> GroupMean | None:
    """The mean of the means of a group's episodes; None where none of its tracklets can be
    compared."""
    at = np.array(sorted(numbers)[-_MAX_MEMBERS:]) - gallery.first
    at = at[gallery.comparable[at]]
    if not len(at):
        return None
    at = at[np.lexsort((gallery.starts_s[at], gallery.cameras[at]))]
    breaks_s = gallery.starts_s[at[1:]] - gallery.ends_s[at[:-1]]
    new = (np.diff(gallery.cameras[at]) != 0) | (breaks_s > EPISODE_GAP_S)
    begins = np.concatenate([[0], np.flatnonzero(new) + 1])
    sums = np.add.reduceat(gallery.directions(at).astype(np.float64), begins, axis=0)
    episodes = sums / np.diff(begins, append=len(at))[:, None]
    n_cameras = len(np.unique(gallery.cameras[at]))
    return GroupMean(episodes.mean(axis=0), len(episodes), n_cameras)


def are_too_far(
    scatter: WithinPersonScatter | None, first: GroupMean | None, second: GroupMean | None
) -> bool:
    """Whether two groups lie too far apart for one person."""
    if scatter is None or first is None or second is None:
        return False
    return bool(scatter.deviations(first, [second])[0] > MAX_DEVIATION)


def group_log_odds(
    scatter: WithinPersonScatter | None, first: GroupMean | None, second: GroupMean | None
) -> float:
    """The log odds by appearance that two groups are one person; minus infinity where nothing is
    known."""
    if scatter is None or first is None or second is None:
        return -math.inf
    return scatter.log_odds(first, second)
