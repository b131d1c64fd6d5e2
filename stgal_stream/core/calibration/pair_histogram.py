"""All pairs of the window, counted by distance and travel time: what the mixture is fitted to.

Law: memory is bounded by the histograms, one for each camera pair that has enough best buddies and
one for all others together, whatever the number of pairs. Distances are taken block by block.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from stgal_stream.core.calibration.link_test import MIN_BUDDIES
from stgal_stream.core.calibration.time_grid import TimeGrid
from stgal_stream.core.gallery.gallery import Gallery
from stgal_stream.core.gallery.normalisation import Normalisation
from stgal_stream.core.measures.best_buddies import MutualNearest
from stgal_stream.core.measures.distance import distances
from stgal_stream.core.measures.travel_time import Spans, gaps_s, travel_times_s
from stgal_stream.types import CameraPair, Floats, Integers, Vectors, camera_pair

N_DISTANCE_BINS = 96  # of the window's range of distances: 1 % steps, finer than a fit can tell
_BLOCK = 256  # queries at a time
_N_SAMPLE = 256  # tracklets that the range and spread of distances are read from


@dataclass(slots=True)
class PairHistogram:
    """All pairs of one camera pair, (distance bins, time bins), and its best buddies by P_v: their
    distances and travel times (seconds).

    How many of all pairs, and of the best buddies, were in view at one time is counted by parts of
    tracks: that shows views that overlap better than whole tracks do, which overlap by chance too.
    """

    pair: CameraPair
    histogram: Floats
    buddy_distances: Floats
    buddy_times: Floats
    n_simultaneous: int = 0
    n_buddies_simultaneous: int = 0

    @property
    def simultaneous(self) -> tuple[int, float]:
        """How many best buddies were in view at one time, and the chance of it for any pair."""
        n = float(self.histogram.sum())
        return self.n_buddies_simultaneous, (self.n_simultaneous + 1.0) / (n + 1.0)


@dataclass(slots=True)
class HistogramGroup:
    """Camera pairs of one kind.

    ``apart`` are those with enough best buddies, ``pooled`` all others together (None if there are
    none), ``few`` the best buddies' travel times (seconds) of those others.
    """

    apart: list[PairHistogram] = field(default_factory=list)
    pooled: PairHistogram | None = None
    few: dict[CameraPair, Floats] = field(default_factory=dict)

    @property
    def all(self) -> list[PairHistogram]:
        """Those counted apart and, last, those counted together."""
        return self.apart + ([] if self.pooled is None else [self.pooled])

    def add(self, found: PairHistogram) -> None:
        """Keeps a camera pair apart, or adds it to those with too little data."""
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
        pooled.n_simultaneous += found.n_simultaneous
        pooled.n_buddies_simultaneous += found.n_buddies_simultaneous


@dataclass(slots=True)
class WindowHistograms:
    """Pairs ``across`` cameras and ``within`` one (people who come back), the width of a distance
    bin, and the standard deviation of distances."""

    width: float
    distance_sd: float
    across: HistogramGroup = field(default_factory=HistogramGroup)
    within: HistogramGroup = field(default_factory=HistogramGroup)


@dataclass(slots=True)
class _Members:
    """One camera's tracklets."""

    directions: Vectors
    squares: Vectors
    spans: Spans


def count_pairs(
    gallery: Gallery, rows: Integers, grid: TimeGrid, normalisation: Normalisation
) -> WindowHistograms:
    """Counts all pairs of the tracklets in ``rows`` (N,)."""
    cameras = gallery.cameras[rows]
    directions = normalisation.directions(gallery.embeddings[rows], cameras)
    width, distance_sd = _scale(directions)
    counts = WindowHistograms(width, distance_sd)
    if not len(directions):
        return counts
    spans = gallery.spans[rows]
    members = {}
    for i, name in enumerate(gallery.camera_names):
        mine = np.flatnonzero(cameras == i)
        if len(mine):
            squares = np.einsum("nd,nd->n", directions[mine], directions[mine])
            members[name] = _Members(directions[mine], squares, spans[mine])
    for first in sorted(members):
        for second in sorted(members):
            if first <= second:
                group = counts.within if first == second else counts.across
                group.add(_count_pair((first, second), members, width, grid))
    return counts


def _scale(directions: Vectors) -> tuple[float, float]:
    """The width of a distance bin and the standard deviation of distances, from a sample."""
    sample = directions[:: max(1, len(directions) // _N_SAMPLE)]
    if len(sample) < 2:
        return 1.0, 1.0
    d = distances(sample, sample)
    apart = d[np.triu_indices(len(sample), 1)]
    return float(d.max()) * 1.05 / N_DISTANCE_BINS or 1.0, float(apart.std()) or 1.0


def _count_pair(
    pair: CameraPair, members: dict[str, _Members], width: float, grid: TimeGrid
) -> PairHistogram:
    queries, gallery = members[pair[0]], members[pair[1]]
    within = pair[0] == pair[1]
    table = np.zeros(N_DISTANCE_BINS * grid.n, np.int64)
    buddies = MutualNearest(len(queries.spans), len(gallery.spans))
    for start in range(0, len(queries.spans), _BLOCK):
        block = slice(start, start + _BLOCK)
        d = distances(queries.directions[block], gallery.directions, gallery.squares)
        t = travel_times_s(queries.spans[block][:, None], gallery.spans[None, :])
        cells = np.minimum((d * (1 / width)).astype(np.int32), N_DISTANCE_BINS - 1) * grid.n
        cells += grid.bins(t)
        if within:  # in one camera at one time they are two people, or a tracklet and itself
            cells = cells[t > 0]
            d[t == 0] = np.inf
        table += np.bincount(cells.ravel(), minlength=len(table))
        buddies.take(start, d)
    mutual = buddies.mutual()
    if within:
        mutual &= np.arange(len(mutual)) < buddies.nearest
    histogram = table.reshape(N_DISTANCE_BINS, grid.n) / (2.0 if within else 1.0)
    one, other = queries.spans[np.flatnonzero(mutual)], gallery.spans[buddies.nearest[mutual]]
    parts = gaps_s(one.start_s, one.end_s, other.start_s, other.end_s)
    return PairHistogram(
        camera_pair(*pair),
        histogram,
        buddies.distance[mutual],
        travel_times_s(one, other),
        _n_simultaneous(queries.spans, gallery.spans),
        int((parts == 0).sum()),
    )


def _n_simultaneous(first: Spans, second: Spans) -> int:
    """How many combinations were at one time: all but those of which one was over before the other
    began."""
    before = np.searchsorted(np.sort(first.end_s), second.start_s, side="left").sum()
    after = np.searchsorted(np.sort(second.end_s), first.start_s, side="left").sum()
    return len(first) * len(second) - int(before) - int(after)
