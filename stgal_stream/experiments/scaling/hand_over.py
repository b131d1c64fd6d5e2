"""Joins the identities of overlapping parts: one owner and one name a person.

Neighbouring parts see the sightings of the cameras between them, each under identities of its own.
An identity of one part and one of another are the same person where they have more than half of
those sightings in common (the Jaccard index): so an identity has at most one counterpart in another
part, and one doubtful sighting among several joins nobody. A single one joins where it is all that
the two parts saw of either.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from stgal_stream.types import Integers

NOBODY = -1


def hand_over(said: Sequence[Integers], owner: Integers) -> Integers:
    """(N,) one identity a sighting.

    ``said`` holds for each part (N,) what it says of each sighting, an identity's number within the
    part from 0 on, or ``NOBODY`` where it did not read it; ``owner`` (N,) is the part whose word
    names the sighting.
    """
    sizes = [int(part.max(initial=NOBODY)) + 1 for part in said]
    first = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    links = [
        pair + first[[a, b]]
        for a, b in _neighbours(said)
        if len(pair := _counterparts(said[a], said[b]))
    ]
    n = int(first[-1])
    one, other = np.concatenate(links).T if links else np.zeros((2, 0), np.int64)
    graph = coo_array((np.ones(len(one)), (one, other)), shape=(n, n))
    _, person = connected_components(graph, directed=False)
    named = np.full(len(owner), NOBODY)
    for part, (words, start) in enumerate(zip(said, first[:-1].tolist(), strict=True)):
        mine = (owner == part) & (words != NOBODY)
        named[mine] = person[words[mine] + start]
    return named


def _neighbours(said: Sequence[Integers]) -> list[tuple[int, int]]:
    """The pairs of parts that read a sighting in common."""
    read = np.stack([part != NOBODY for part in said])
    several = read[:, read.sum(axis=0) > 1].astype(np.int32)
    return [(int(a), int(b)) for a, b in np.argwhere(np.triu(several @ several.T, 1))]


def _counterparts(one: Integers, other: Integers) -> Integers:
    """(M, 2) the identities of two parts that are one person."""
    both = (one != NOBODY) & (other != NOBODY)
    pairs, n_common = np.unique(np.stack([one[both], other[both]]), axis=1, return_counts=True)
    n_one, n_other = (
        np.bincount(words[both])[mine] for words, mine in zip((one, other), pairs, strict=True)
    )
    return np.asarray(pairs[:, 2 * n_common > n_one + n_other - n_common].T)
