"""Training batches: pseudo-pairs with their hard negatives, each crop augmented.

Law: a batch is a function of the seed and its number alone, so a run that was stopped goes on
with the batches that it would have had.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SHIFT = 0.08  # of a side: as far as a detector's boxes are off
_ERASED = 0.5  # of the crops (random erasing, Zhong et al. 2020)


@dataclass(frozen=True, slots=True)
class PseudoPair:
    """Two sightings (by index) held for one person with a probability."""

    first: int
    second: int
    posterior: float


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows (B,) of sightings, which crop of each (B,), and which pairs of them are held for one
    person, which for two."""

    rows: NDArray[np.int64]
    views: NDArray[np.int64]
    same: NDArray[np.bool_]
    other: NDArray[np.bool_]


class Sampler:
    """Draws pairs, if ``weighted`` in proportion to their posterior, and hard negatives of each
    query: candidates whose P_a lies under the median, in proportion to P_v. Of each sighting so
    drawn, some crops: two of one tracklet are one person, whatever else is wrong."""

    def __init__(
        self,
        pairs: list[PseudoPair],
        negatives: dict[int, NDArray[np.int64]],
        seed: int,
        n_pairs: int,
        n_crops: list[int],
        n_views: int,
        *,
        weighted: bool = True,
    ) -> None:
        self._ends = np.array([(p.first, p.second) for p in pairs], np.int64)
        weight = np.array([p.posterior if weighted else 1.0 for p in pairs])
        self._share = weight / weight.sum()
        self._negatives = negatives
        self._linked = {(p.first, p.second) for p in pairs} | {(p.second, p.first) for p in pairs}
        self._group = groups_of(pairs)
        self._seed, self._n = seed, n_pairs
        self._n_crops, self._n_views = n_crops, n_views

    def batch(self, number: int) -> tuple[Batch, np.random.Generator]:
        """Batch ``number``, and the generator to augment it with."""
        rng = np.random.default_rng((self._seed, number))
        chosen = rng.choice(len(self._ends), self._n, p=self._share)
        rows: list[int] = []
        for first, second in self._ends[chosen].tolist():
            query, positive = (first, second) if rng.random() < 0.5 else (second, first)
            rows += [query, positive]
            pool = self._negatives.get(query)
            if pool is not None and len(pool):
                rows.append(int(pool[rng.integers(len(pool))]))
        drawn = sorted(set(rows))
        repeated = np.repeat(np.array(drawn, np.int64), self._n_views)
        views = np.concatenate([self._views(row, rng) for row in drawn])
        listed = repeated.tolist()
        group = np.array([self._group.get(row, -1 - row) for row in listed])
        same = np.array([[a == b or (a, b) in self._linked for b in listed] for a in listed])
        np.fill_diagonal(same, False)
        # Two that hang together through others may be one person or not: they take no part.
        return Batch(repeated, views, same, group[:, None] != group[None, :]), rng

    def _views(self, row: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Different crops of a sighting, as far as it has so many."""
        order = rng.permutation(self._n_crops[row])
        return np.resize(order, self._n_views)


def augmented(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """(B, H, W, 3): flipped by halves, shifted by a few pixels, a rectangle erased by halves."""
    out = np.empty_like(pixels)
    n, high, wide, _ = pixels.shape
    reach = round(_SHIFT * high), round(_SHIFT * wide)
    for i in range(n):
        crop = pixels[i, :, ::-1] if rng.random() < 0.5 else pixels[i]
        up, left = rng.integers(0, 2 * reach[0] + 1), rng.integers(0, 2 * reach[1] + 1)
        padded = np.pad(crop, ((reach[0],) * 2, (reach[1],) * 2, (0, 0)), mode="edge")
        out[i] = padded[up : up + high, left : left + wide]
        if rng.random() < _ERASED:
            h, w = (int(side * rng.uniform(0.15, 0.45)) for side in (high, wide))
            y, x = rng.integers(0, high - h), rng.integers(0, wide - w)
            out[i, y : y + h, x : x + w] = rng.integers(0, 256, (h, w, 3), dtype=np.uint8)
    return out


def groups_of(pairs: list[PseudoPair]) -> dict[int, int]:
    """The connected group of each row in a pair."""
    parent: dict[int, int] = {}

    def root(row: int) -> int:
        parent.setdefault(row, row)
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for pair in pairs:
        parent[root(pair.first)] = root(pair.second)
    return {row: root(row) for row in list(parent)}
