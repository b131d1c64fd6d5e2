"""Passages: what an identity is made of, and which of them are somebody else's.

A passage is a run of an identity's tracklets between which time speaks for one person: he went from
one to the next, or stayed. From passage to passage only appearance tells, and a whole passage tells
more than any one of its tracklets, so who came back is asked of passages.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from stgal_stream.core.scorer import ONE_LOOK_S, Scorer
from stgal_stream.core.spread import TOO_FAR, Spread, Whole
from stgal_stream.core.travel_time import travel_time_s

_MOST = 256


def passages(numbers: Sequence[int], scorer: Scorer) -> list[list[int]]:
    """An identity's tracklets in order of time, cut where time does not speak for one person; of
    more than 256 passages the shortest breaks are closed."""
    gallery, calibration = scorer.gallery, scorer.calibration
    assert calibration is not None
    order = sorted(numbers, key=lambda n: (gallery[n].start_s, n))
    breaks = []
    for at, (before, after) in enumerate(pairwise(order), start=1):
        one, other = gallery[before], gallery[after]
        apart_s = travel_time_s(one, other)
        stayed = one.camera == other.camera and apart_s <= ONE_LOOK_S
        if not stayed and calibration.log_time(one.camera, other.camera, apart_s) <= 0.0:
            breaks.append((-apart_s, at))
    ends = [0, *sorted(at for _, at in sorted(breaks)[: _MOST - 1]), len(order)]
    return [order[start:end] for start, end in pairwise(ends)]


def strangers_in(numbers: Sequence[int], scorer: Scorer) -> list[list[int]]:
    """The tracklets of an identity that are somebody else's, person by person. Passages stay whole;
    the nearest are one person's for as long as they are not too far apart, and he whom most
    looks show keeps the identity, with all that can be compared with nothing."""
    spread, gallery = scorer.spread, scorer.gallery
    known = [n for n in numbers if gallery.known[n - gallery.first]]
    if spread is None or len(known) < 2:
        return []
    return _people(passages(known, scorer), scorer, spread)[1:]


def _people(groups: list[list[int]], scorer: Scorer, spread: Spread) -> list[list[int]]:
    """Groups of tracklets joined to people, the one of the most looks first."""
    wholes = [_whole(group, scorer) for group in groups]
    excess = np.full((len(groups), len(groups)), np.inf)
    for i in range(1, len(groups)):
        excess[i, :i] = excess[:i, i] = spread.excess(wholes[i], wholes[:i])
    while len(groups) > 1:
        i, j = sorted(divmod(int(np.argmin(excess)), len(groups)))
        if excess[i, j] > TOO_FAR:
            break
        groups[i] = sorted(groups[i] + groups.pop(j))
        wholes.pop(j)
        wholes[i] = _whole(groups[i], scorer)
        excess = np.delete(np.delete(excess, j, axis=0), j, axis=1)
        excess[i] = excess[:, i] = spread.excess(wholes[i], wholes)
        excess[i, i] = np.inf
    order = sorted(range(len(groups)), key=lambda k: -wholes[k].n)
    return [groups[k] for k in order]


def _whole(group: list[int], scorer: Scorer) -> Whole:
    found = scorer.whole(group)
    assert found is not None
    return found
