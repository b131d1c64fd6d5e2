"""An identity that an operator says is two people: which tracklets are whose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stgal_stream.core.calibration.model import Scores
from stgal_stream.core.gallery.gallery import NO_SLOT
from stgal_stream.core.identities.linkage import Linkage
from stgal_stream.core.matching.pair_scorer import PairScorer
from stgal_stream.types import Integers


def two_people(
    members: Sequence[int],
    first: set[int],
    second: set[int],
    linked: Sequence[Sequence[int]],
    scorer: PairScorer,
) -> tuple[list[int], list[int]]:
    """The members of an identity as those of the first person and of the second.

    ``first`` and ``second`` are the members of which the operator spoke. Each other one goes where
    average linkage is higher; what is ``linked`` goes together; who is known of nothing stays with
    the first.
    """
    sides = np.full(len(scorer.gallery), NO_SLOT)
    for side, numbers in enumerate((first, second)):
        sides[np.array(sorted(numbers)) - scorer.gallery.first] = side
    found: tuple[list[int], list[int]] = [], []
    for unit in _units(members, linked):
        if not first.isdisjoint(unit):
            side = 0
        elif not second.isdisjoint(unit):
            side = 1
        else:
            side = _nearer([scorer.one(number) for number in unit], sides)
        found[side].extend(unit)
    return sorted(found[0]), sorted(found[1])


def _units(members: Sequence[int], linked: Sequence[Sequence[int]]) -> list[list[int]]:
    """Members that stay together, group by group."""
    left = set(members)
    units = []
    for group in linked:
        unit = sorted(left.intersection(group))
        if unit:
            units.append(unit)
            left.difference_update(unit)
    return units + [[number] for number in sorted(left)]


def _nearer(scores: Sequence[Scores], sides: Integers) -> int:
    """The side (0 or 1) with which tracklets have the higher linkage."""
    linkage = Linkage.of(scores[0], sides, 2)
    for more in scores[1:]:
        linkage.add(Linkage.of(more, sides, 2))
    first, second = linkage.log_odds
    return int(second > first)
