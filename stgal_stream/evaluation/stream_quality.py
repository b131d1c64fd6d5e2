"""How good the identities of a stream are, against the truth.

Pairs are counted, never enumerated, so that a day's stream is a matter of seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components


@dataclass(frozen=True, slots=True)
class PairQuality:
    """Of all pairs of detections: which share an identity, and which should."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Harmonic mean."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def pair_quality(
    identities: Sequence[Hashable],
    people: Sequence[Hashable],
    cameras: Sequence[Hashable],
    *,
    across_cameras: bool = True,
) -> PairQuality:
    """Pairwise precision and recall, across cameras or within one.

    Whoever has no label (a distractor, a false alarm) must come as a person of their own, so that
    gluing them to anybody counts against precision. Without a pair the figure is 1.
    """
    given, wanted = list(identities), list(people)
    both = list(zip(given, wanted, strict=True))
    found, right, true = (_n_pairs(keys, cameras, across_cameras) for keys in (given, both, wanted))
    return PairQuality(right / found if found else 1.0, right / true if true else 1.0)


def _n_pairs(keys: Sequence[Hashable], cameras: Sequence[Hashable], across: bool) -> int:
    everywhere = sum(n * (n - 1) // 2 for n in Counter(keys).values())
    within = Counter(zip(keys, cameras, strict=True))
    same_camera = sum(n * (n - 1) // 2 for n in within.values())
    return everywhere - same_camera if across else same_camera


def shared_at_once(
    identities: Sequence[Hashable],
    people: Sequence[Hashable | None],
    cameras: Sequence[Hashable],
    moments: Sequence[Hashable],
) -> tuple[int, int]:
    """How many pairs of detections are of two people in one camera at one moment, and how many of
    those share an identity, which nobody may. Whoever has no label takes no part."""
    rows = [r for r in zip(identities, people, cameras, moments, strict=True) if r[1] is not None]

    def count(*parts: int) -> int:
        groups = Counter(tuple(row[part] for part in parts) for row in rows)
        return sum(n * (n - 1) // 2 for n in groups.values())

    who, person, where, when = range(4)
    return (
        count(where, when) - count(where, when, person),
        count(where, when, who) - count(where, when, who, person),
    )


def idf1(identities: Sequence[Hashable], people: Sequence[Hashable | None]) -> float:
    """IDF1 (Ristani et al. 2016): detections explained by the best one-to-one matching of
    identities and people. ``None`` is somebody without a label: no person to be found, and a false
    positive only where an identity that is matched holds them."""
    labelled = [(i, p) for i, p in zip(identities, people, strict=True) if p is not None]
    if not labelled:
        return 1.0
    matched = matched_one_to_one(Counter(labelled))
    known = {i for i, _ in labelled}
    n_strangers = sum(p is None and i in known for i, p in zip(identities, people, strict=True))
    return 2 * matched / (2 * len(labelled) + n_strangers)


def matched_one_to_one(together: Mapping[tuple[Any, Any], int]) -> float:
    """Detections explained by the best one-to-one matching, of how many each identity and person
    have together."""
    if not together:
        return 0.0
    rows = {name: n for n, name in enumerate(dict.fromkeys(i for i, _ in together))}
    columns = {name: n for n, name in enumerate(dict.fromkeys(p for _, p in together))}
    overlap = coo_matrix(
        (
            np.array(list(together.values()), dtype=np.float64),
            ([rows[i] for i, _ in together], [columns[p] for _, p in together]),
        ),
        shape=(len(rows), len(columns)),
    )
    return _best_matching(overlap)


def _best_matching(overlap: coo_matrix) -> float:
    """The largest total of a one-to-one matching, block by connected block."""
    n_rows, n_columns = overlap.shape
    pairs = overlap
    graph = coo_matrix(
        (pairs.data, (pairs.row, pairs.col + n_rows)), shape=(n_rows + n_columns,) * 2
    )
    _, block = connected_components(graph, directed=False)
    total = 0.0
    order = np.argsort(block[pairs.row], kind="stable")
    edges = np.split(order, np.flatnonzero(np.diff(block[pairs.row][order])) + 1)
    for part in edges:
        r, i = np.unique(pairs.row[part], return_inverse=True)
        c, j = np.unique(pairs.col[part], return_inverse=True)
        dense = np.zeros((len(r), len(c)))
        dense[i, j] = pairs.data[part]
        total += dense[linear_sum_assignment(dense, maximize=True)].sum()
    return float(total)


@dataclass(frozen=True, slots=True)
class StreamQuality:
    """What a stream's identities are worth. ``ass_a`` is the association part of HOTA (Luiten et
    al. 2021) where detections are given; ``fragments`` is identities per person, less one;
    ``mixed`` is the share of identities that hold more than one person."""

    across: PairQuality
    within: PairQuality
    idf1: float
    ass_a: float
    fragments: float
    mixed: float
    n_identities: int


def stream_quality(
    identities: Sequence[Hashable], people: Sequence[Hashable | None], cameras: Sequence[Hashable]
) -> StreamQuality:
    """All figures of one mapping. ``None`` among people is somebody without a label."""
    persons: list[Hashable] = [
        ("nobody", n) if person is None else person for n, person in enumerate(people)
    ]
    labelled = [(i, p) for i, p in zip(identities, people, strict=True) if p is not None]
    ids_of: dict[Hashable, set[Hashable]] = {}
    for identity, person in labelled:
        ids_of.setdefault(person, set()).add(identity)
    people_of: dict[Hashable, set[Hashable]] = {}
    for identity, someone in zip(identities, persons, strict=True):
        people_of.setdefault(identity, set()).add(someone)
    n_people = max(1, len(ids_of))
    return StreamQuality(
        pair_quality(identities, persons, cameras),
        pair_quality(identities, persons, cameras, across_cameras=False),
        idf1(identities, people),
        association_accuracy(identities, people),
        sum(len(found) - 1 for found in ids_of.values()) / n_people,
        sum(len(found) > 1 for found in people_of.values()) / max(1, len(people_of)),
        len(people_of),
    )


def association_accuracy(
    identities: Sequence[Hashable], people: Sequence[Hashable | None]
) -> float:
    """AssA of HOTA where every detection is given: the mean over labelled detections of what their
    identity and their person share, over all that either holds."""
    both = Counter(zip(identities, people, strict=True))
    of_identity, of_person = Counter(identities), Counter(people)
    total = n = 0.0
    for (identity, person), shared in both.items():
        if person is not None:
            union = of_identity[identity] + of_person[person] - shared
            total += shared * shared / union
            n += shared
    return total / n if n else 1.0
