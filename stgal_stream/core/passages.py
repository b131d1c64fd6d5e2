"""Passages: what an identity is made of, and which of them are somebody else's.

A passage is a run of an identity's tracklets between which time speaks for one person: he went from
one to the next. From passage to passage only appearance tells, and a whole passage tells more than
any one of its tracklets, so who came back is asked of passages.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from stgal_stream.core.scorer import Scorer
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
        if calibration.log_time(one.camera, other.camera, apart_s) <= 0.0:
            breaks.append((-apart_s, at))
    ends = [0, *sorted(at for _, at in sorted(breaks)[: _MOST - 1]), len(order)]
    return [order[start:end] for start, end in pairwise(ends)]


def parted(numbers: Sequence[int], scorer: Scorer) -> list[list[int]]:
    """An identity's tracklets by person, those of the most looks first: passages stay whole,
    and those too far apart for one person are parted."""
    spread = scorer.calibration.spread if scorer.calibration is not None else None
    if spread is None:
        return [list(numbers)]
    found = passages(numbers, scorer)
    groups = spread.groups([scorer.looks(passage) for passage in found])
    return [sorted(number for k in group for number in found[k]) for group in groups]
