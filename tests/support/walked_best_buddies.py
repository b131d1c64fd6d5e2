"""Best-buddies search by walking the rankings, as the paper words it: the reference that the matrix
form and the online form must equal.

Laws. For an ordered camera pair (a, b), a query q of a and P = P_a(q, .) over b: walk b from
the most to the least probable for as long as each one's own most probable partner in a is q; what
was walked is accepted. BBP stops after one step. A probability of 0 is never accepted. Ties go to
the tracklet that settled first. The positives are the union over all ordered pairs, (a, a) too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Pair = tuple[int, int]


def walked_best_buddies(
    association: NDArray[np.float64], cameras: Sequence[object], *, iterated: bool = True
) -> set[Pair]:
    """All accepted pairs (i, j), i < j, of a symmetric (N, N) matrix of P_a.

    ``association[i, i]`` is not looked at. ``iterated=False`` gives BBP, True gives IBBS.
    """
    members: dict[object, list[int]] = {}
    for index, camera in enumerate(cameras):
        members.setdefault(camera, []).append(index)
    accepted: set[Pair] = set()
    for first, queries in members.items():
        for gallery in members.values():
            for q in queries:
                for g in _walk(association, q, gallery, members[first], iterated):
                    accepted.add((min(q, g), max(q, g)))
    return accepted


def _walk(
    association: NDArray[np.float64],
    query: int,
    gallery: list[int],
    queries: list[int],
    iterated: bool,
) -> list[int]:
    found: list[int] = []
    for g in _ranked(association, query, gallery):
        if next(iter(_ranked(association, g, queries)), None) != query:
            break
        found.append(g)
        if not iterated:
            break
    return found


def _ranked(association: NDArray[np.float64], query: int, gallery: list[int]) -> list[int]:
    others = [g for g in gallery if g != query and association[query, g] > 0]
    return sorted(others, key=lambda g: (-association[query, g], g))
