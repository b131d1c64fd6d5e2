"""All pairs of the window, counted: what the mixture is fitted to.

The law: memory is bounded by the histograms, one for each camera pair that has enough best buddies
and one for all others together, whatever the number of pairs; distances are taken block by block.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stgal_stream.core.gallery import Gallery
from stgal_stream.core.mixture import (
    MIN_BUDDIES,
    N_DISTANCE_BINS,
    CameraPair,
    Floats,
    PairCounts,
)
from stgal_stream.core.time_grid import TimeGrid
from stgal_stream.core.travel_time import gaps_s, travel_times_s
from stgal_stream.core.view import View
from stgal_stream.core.visual import distances

_BLOCK = 256
_SAMPLE = 256


def camera_pair(first: str, second: str) -> CameraPair:
    """The unordered pair."""
    return (first, second) if first <= second else (second, first)


@dataclass(slots=True)
class KindCounts:
    """Camera pairs of one kind: those counted apart, all others counted together (``pooled``, None
    where there is none), and by camera pair the best buddies' travel times (seconds) of the
    others."""

    apart: list[PairCounts] = field(default_factory=list)
    pooled: PairCounts | None = None
    few: dict[CameraPair, Floats] = field(default_factory=dict)

    def add(self, found: PairCounts) -> None:
        """Keeps a camera pair apart, or adds it to all those with too little data."""
        if len(found.buddy_times) >= MIN_BUDDIES:
            self.apart.append(found)
            return
        self.few[found.pair] = found.buddy_times
        pooled = self.pooled
        if pooled is None:
            self.pooled = found
            return
        pooled.histogram += found.histogram
        pooled.buddy_distances = np.concatenate([pooled.buddy_distances, found.buddy_distances])
        pooled.buddy_times = np.concatenate([pooled.buddy_times, found.buddy_times])
        pooled.n_at_once += found.n_at_once
        pooled.n_buddies_at_once += found.n_buddies_at_once


@dataclass(slots=True)
class WindowCounts:
    """Counts of pairs across cameras and within one (people who come back), the width of a
    distance bin, and the typical spread of distances."""

    width: float
    spread: float
    across: KindCounts = field(default_factory=KindCounts)
    within: KindCounts = field(default_factory=KindCounts)


@dataclass(slots=True)
class _Members:
    """One camera's tracklets."""

    directions: NDArray[np.float32]
    squares: NDArray[np.float32]
    starts_s: Floats
    since_s: Floats
    ends_s: Floats


def count_window(
    gallery: Gallery, rows: NDArray[np.int64], grid: TimeGrid, view: View
) -> WindowCounts:
    """Counts all pairs of the tracklets in ``rows``, compared as ``view`` sees them."""
    cameras = gallery.cameras[rows]
    directions = view.directions(gallery.embeddings[rows], cameras)
    names = gallery.camera_names
    width, spread = _scale(directions)
    counts = WindowCounts(width, spread)
    if not len(directions):
        return counts
    members = {}
    for i, name in enumerate(names):
        mine = np.flatnonzero(cameras == i)
        if len(mine):
            members[name] = _Members(
                directions[mine],
                np.einsum("nd,nd->n", directions[mine], directions[mine]),
                gallery.starts_s[rows][mine],
                gallery.since_s[rows][mine],
                gallery.ends_s[rows][mine],
            )
    for first in sorted(members):
        for second in sorted(members):
            if first <= second:
                kind = counts.within if first == second else counts.across
                kind.add(_count_pair((first, second), members, width, grid))
    return counts


def _scale(directions: NDArray[np.float32]) -> tuple[float, float]:
    """The width of a distance bin and the standard deviation of distances, from a sample."""
    sample = directions[:: max(1, len(directions) // _SAMPLE)]
    if len(sample) < 2:
        return 1.0, 1.0
    d = distances(sample, sample)
    apart = d[np.triu_indices(len(sample), 1)]
    return float(d.max()) * 1.05 / N_DISTANCE_BINS or 1.0, float(apart.std()) or 1.0


def _count_pair(
    pair: CameraPair, members: dict[str, _Members], width: float, grid: TimeGrid
) -> PairCounts:
    queries, gallery = members[pair[0]], members[pair[1]]
    n_queries, n_gallery = len(queries.starts_s), len(gallery.starts_s)
    within = pair[0] == pair[1]
    starts = queries.starts_s, gallery.starts_s
    begun = starts if within else (queries.since_s, gallery.since_s)
    ends = queries.ends_s, gallery.ends_s
    table = np.zeros(N_DISTANCE_BINS * grid.n, np.int64)
    nearest, nearest_d = np.zeros(n_queries, np.int64), np.zeros(n_queries)
    back, back_d = np.zeros(n_gallery, np.int64), np.full(n_gallery, np.inf)
    for start in range(0, n_queries, _BLOCK):
        rows = slice(start, min(start + _BLOCK, n_queries))
        d = distances(queries.directions[rows], gallery.directions, gallery.squares)
        t = travel_times_s(begun[0][rows], ends[0][rows], begun[1], ends[1])
        cells = np.minimum((d * (1 / width)).astype(np.int32), N_DISTANCE_BINS - 1) * grid.n
        cells += grid.bins(t)
        if within:  # in one camera at one time they are two people, or a tracklet and itself
            cells = cells[t > 0]
            d[t == 0] = np.inf
        table += np.bincount(cells.ravel(), minlength=len(table))
        nearest[rows] = d.argmin(axis=1)
        nearest_d[rows] = d[np.arange(len(d)), nearest[rows]]
        best = d.argmin(axis=0)
        closest = d[best, np.arange(n_gallery)]
        better = closest < back_d
        back[better], back_d[better] = best[better] + start, closest[better]
    own = np.arange(n_queries)
    mutual = (back[nearest] == own) & np.isfinite(nearest_d)
    if within:
        mutual &= own < nearest
    histogram = table.reshape(N_DISTANCE_BINS, grid.n) / (2.0 if within else 1.0)
    one, other = own[mutual], nearest[mutual]
    parts = gaps_s(starts[0][one], ends[0][one], starts[1][other], ends[1][other])
    return PairCounts(
        pair,
        histogram,
        nearest_d[mutual],
        gaps_s(begun[0][one], ends[0][one], begun[1][other], ends[1][other]),
        _n_at_once(starts, ends),
        int((parts == 0).sum()),
    )


def _n_at_once(starts: tuple[Floats, Floats], ends: tuple[Floats, Floats]) -> int:
    """How many combinations were at one time: all but those of which one was over before the other
    began."""
    before = np.searchsorted(np.sort(ends[0]), starts[1], side="left").sum()
    after = np.searchsorted(np.sort(ends[1]), starts[0], side="left").sum()
    return len(starts[0]) * len(starts[1]) - int(before) - int(after)
