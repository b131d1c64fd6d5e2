"""Groups of tracklets compared as a whole, by the means of their episodes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stgal_stream.core.calibration.within_person import (
    MAX_DEVIATION,
    GroupMean,
    GroupMeans,
    WithinPersonScatter,
)
from stgal_stream.core.gallery.gallery import Gallery
from stgal_stream.types import Floats, Integers, Mask

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
    if len(at) == 1:
        return GroupMean(gallery.directions(at)[0].astype(np.float64), 1)
    at = at[np.lexsort((gallery.starts_s[at], gallery.cameras[at]))]
    breaks_s = gallery.starts_s[at[1:]] - gallery.ends_s[at[:-1]]
    new = (np.diff(gallery.cameras[at]) != 0) | (breaks_s > EPISODE_GAP_S)
    begins = np.concatenate([[0], np.flatnonzero(new) + 1])
    sums = np.add.reduceat(gallery.directions(at).astype(np.float64), begins, axis=0)
    episodes = sums / np.diff(begins, append=len(at))[:, None]
    n_cameras = len(np.unique(gallery.cameras[at]))
    return GroupMean(episodes.mean(axis=0), len(episodes), n_cameras)


def are_too_far(
    scatter: WithinPersonScatter | None, one: GroupMean | None, others: Sequence[GroupMean | None]
) -> Mask:
    """(N,) whether groups lie too far from one for one person; not where nothing is known."""
    found = np.zeros(len(others), bool)
    at, known = _known(others)
    if scatter is not None and one is not None and known:
        found[at] = scatter.deviations(one, GroupMeans.of(known)) > MAX_DEVIATION
    return found


def group_log_odds(
    scatter: WithinPersonScatter | None, one: GroupMean | None, others: Sequence[GroupMean | None]
) -> Floats:
    """(N,) the log odds by appearance that groups are one person with one of them; minus infinity
    where nothing is known."""
    found = np.full(len(others), -np.inf)
    at, known = _known(others)
    if scatter is not None and one is not None and known:
        found[at] = scatter.log_odds(one, GroupMeans.of(known))
    return found


def pair_log_odds(
    scatter: WithinPersonScatter | None, groups: Sequence[GroupMean | None], pairs: Integers
) -> Floats:
    """(M,) the log odds by appearance that pairs (M, 2) of groups are one person; minus infinity
    where nothing is known."""
    found = np.full(len(pairs), -np.inf)
    is_known = np.array([group is not None for group in groups], bool)
    at = np.flatnonzero(is_known[pairs].all(axis=1))
    known = [group for group in groups if group is not None]
    if scatter is not None and len(at):
        position = np.cumsum(is_known) - 1
        found[at] = scatter.pair_log_odds(known, position[pairs[at]])
    return found


def _known(groups: Sequence[GroupMean | None]) -> tuple[list[int], list[GroupMean]]:
    """The groups that can be compared, and where they stand."""
    known = [(k, group) for k, group in enumerate(groups) if group is not None]
    return [k for k, _ in known], [group for _, group in known]
