"""Segments of an identity, and which of them are somebody else's.

A segment is a run of an identity's tracklets between which time speaks for one person: they went
from one to the next, or stayed. From segment to segment only appearance tells, and a whole segment
tells more than any one of its tracklets.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from stgal_stream.core.calibration.model import Calibration
from stgal_stream.core.calibration.within_person import (
    MAX_DEVIATION,
    GroupMean,
    WithinPersonScatter,
)
from stgal_stream.core.gallery.gallery import Gallery
from stgal_stream.core.identities.group_mean import EPISODE_GAP_S, group_mean
from stgal_stream.core.measures.travel_time import travel_time_s

_MAX_SEGMENTS = 256  # of one identity: they are compared all with all


def segments(numbers: Sequence[int], gallery: Gallery, calibration: Calibration) -> list[list[int]]:
    """An identity's tracklets in order of time, cut where time does not speak for one person; of
    more than 256 segments the shortest breaks are closed."""
    order = sorted(numbers, key=lambda n: (gallery[n].start_s, n))
    breaks = []
    for at, (before, after) in enumerate(pairwise(order), start=1):
        one, other = gallery[before], gallery[after]
        apart_s = travel_time_s(one, other)
        stayed = one.camera == other.camera and apart_s <= EPISODE_GAP_S
        if not stayed and calibration.log_time(one.camera, other.camera, apart_s) <= 0.0:
            breaks.append((-apart_s, at))
    ends = [0, *sorted(at for _, at in sorted(breaks)[: _MAX_SEGMENTS - 1]), len(order)]
    return [order[start:end] for start, end in pairwise(ends)]


def foreign_segments(
    numbers: Sequence[int],
    gallery: Gallery,
    calibration: Calibration,
    linked: Sequence[Sequence[int]] = (),
    anchored: Sequence[int] = (),
) -> list[list[int]]:
    """The tracklets of an identity that are somebody else's, person by person.

    Segments stay whole, and so do the groups that operators ``linked``. The nearest are one
    person's for as long as they are not too far apart. The person of the ``anchored`` tracklets
    or, without any, of the most episodes keeps the identity, with all that can be compared with
    nothing.
    """
    scatter = calibration.scatter
    known = [n for n in numbers if gallery.comparable[n - gallery.first]]
    if scatter is None or len(known) < 2:
        return []
    people = _people(_joined(segments(known, gallery, calibration), linked), gallery, scatter)
    people.sort(key=lambda person: set(anchored).isdisjoint(person))
    unknown = set(numbers).difference(known)
    return [person + sorted(_tied(person, linked) & unknown) for person in people[1:]]


def _tied(person: Sequence[int], linked: Sequence[Sequence[int]]) -> set[int]:
    """What is linked to any tracklet of a person."""
    return {n for link in linked if not set(link).isdisjoint(person) for n in link}


def _joined(groups: list[list[int]], linked: Sequence[Sequence[int]]) -> list[list[int]]:
    """Groups of which some tracklets are linked are one."""
    for link in linked:
        tied = [group for group in groups if not set(link).isdisjoint(group)]
        if len(tied) > 1:
            first = groups.index(tied[0])
            rest = [group for group in groups if group not in tied]
            groups = [*rest[:first], sorted(n for group in tied for n in group), *rest[first:]]
    return groups


def _people(
    groups: list[list[int]], gallery: Gallery, scatter: WithinPersonScatter
) -> list[list[int]]:
    """Groups of tracklets joined to people, the one of the most episodes first."""
    means = [_mean(group, gallery) for group in groups]
    apart = np.full((len(groups), len(groups)), np.inf)
    for i in range(1, len(groups)):
        apart[i, :i] = apart[:i, i] = scatter.deviations(means[i], means[:i])
    while len(groups) > 1:
        i, j = sorted(divmod(int(np.argmin(apart)), len(groups)))
        if apart[i, j] > MAX_DEVIATION:
            break
        groups[i] = sorted(groups[i] + groups.pop(j))
        means.pop(j)
        means[i] = _mean(groups[i], gallery)
        apart = np.delete(np.delete(apart, j, axis=0), j, axis=1)
        apart[i] = apart[:, i] = scatter.deviations(means[i], means)
        apart[i, i] = np.inf
    order = sorted(range(len(groups)), key=lambda k: -means[k].n)
    return [groups[k] for k in order]


def _mean(group: list[int], gallery: Gallery) -> GroupMean:
    found = group_mean(gallery, group)
    assert found is not None
    return found
