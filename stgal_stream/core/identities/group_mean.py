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
_NUMBERS = 1 << 20  # in float64, of tracklets that are averaged at a time: 8 MB


def group_mean(gallery: Gallery, numbers: Sequence[int]) -> GroupMean | None:
    """The mean of the means of a group's episodes; None where none of its tracklets can be
    compared."""
    if len(numbers) != 1:
        return group_means(gallery, [numbers])[0]
    at = np.array(numbers) - gallery.first
    is_known = gallery.comparable[at].all()
    return GroupMean(gallery.directions(at)[0].astype(np.float64), 1) if is_known else None


def group_means(gallery: Gallery, groups: Sequence[Sequence[int]]) -> list[GroupMean | None]:
    """Those of several groups of tracklets."""
    newest = [sorted(group)[-_MAX_MEMBERS:] for group in groups]
    most = max(1, _NUMBERS // max(1, gallery.embeddings.shape[1]))
    if sum(map(len, newest)) <= most:
        return _group_means(gallery, newest)
    found: list[GroupMean | None] = []
    ends = np.cumsum([len(group) for group in newest])
    for part in np.split(np.arange(len(newest)), np.flatnonzero(np.diff(ends // most)) + 1):
        found += _group_means(gallery, [newest[k] for k in part.tolist()])
    return found


def _group_means(gallery: Gallery, groups: Sequence[Sequence[int]]) -> list[GroupMean | None]:
    """Those of some groups at once, as what a group costs is mostly the number of calls."""
    found: list[GroupMean | None] = [None] * len(groups)
    at = np.array([n for group in groups for n in group], np.int64) - gallery.first
    which = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    known = gallery.comparable[at]
    at, which = at[known], which[known]
    if not len(at):
        return found
    order = np.lexsort((gallery.starts_s[at], gallery.cameras[at], which))
    at, which = at[order], which[order]
    is_group, is_camera, is_episode = np.ones((3, len(at)), bool)  # where another one begins
    is_group[1:] = which[1:] != which[:-1]
    cameras, breaks_s = gallery.cameras[at], gallery.starts_s[at[1:]] - gallery.ends_s[at[:-1]]
    is_camera[1:] = is_group[1:] | (cameras[1:] != cameras[:-1])
    is_episode[1:] = is_camera[1:] | (breaks_s > EPISODE_GAP_S)
    begins = np.flatnonzero(is_episode)
    episodes = np.add.reduceat(gallery.directions(at).astype(np.float64), begins, axis=0)
    episodes /= np.diff(begins, append=len(at))[:, None]
    firsts = np.flatnonzero(is_group[begins])
    n = np.diff(firsts, append=len(begins))
    means = np.add.reduceat(episodes, firsts, axis=0) / n[:, None]
    n_cameras = np.add.reduceat(is_camera.astype(np.int64), np.flatnonzero(is_group))
    counts = zip(which[is_group].tolist(), n.tolist(), n_cameras.tolist(), strict=True)
    for k, (group, n_episodes, n_seen_by) in enumerate(counts):
        found[group] = GroupMean(means[k].copy(), n_episodes, n_seen_by)
    return found


def are_too_far(
    scatter: WithinPersonScatter | None, one: GroupMean | None, others: Sequence[GroupMean | None]
) -> Mask:
    """(N,) whether groups lie too far from one for one person; not where nothing is known."""
    found = np.zeros(len(others), bool)
    at, known = _known(others)
    if scatter is not None and one is not None and known:
        found[at] = scatter.deviations(one, GroupMeans.of(known)) > MAX_DEVIATION
    return found


def group_log_ratio(
    scatter: WithinPersonScatter | None, one: GroupMean | None, others: Sequence[GroupMean | None]
) -> Floats:
    """(N,) by how much the looks of groups add to the log odds that they are one person with one of
    them; minus infinity where nothing is known."""
    found = np.full(len(others), -np.inf)
    at, known = _known(others)
    if scatter is not None and one is not None and known:
        found[at] = scatter.log_ratio(one, GroupMeans.of(known))
    return found


def pair_log_ratio(
    scatter: WithinPersonScatter | None, groups: Sequence[GroupMean | None], pairs: Integers
) -> Floats:
    """(M,) the same for pairs (M, 2) of groups."""
    found = np.full(len(pairs), -np.inf)
    is_known = np.array([group is not None for group in groups], bool)
    at = np.flatnonzero(is_known[pairs].all(axis=1))
    known = [group for group in groups if group is not None]
    if scatter is not None and len(at):
        position = np.cumsum(is_known) - 1
        found[at] = scatter.pair_log_ratio(known, position[pairs[at]])
    return found


def _known(groups: Sequence[GroupMean | None]) -> tuple[list[int], list[GroupMean]]:
    """The groups that can be compared, and where they stand."""
    known = [(k, group) for k, group in enumerate(groups) if group is not None]
    return [k for k, _ in known], [group for _, group in known]
