"""All pairs of the window, counted by distance and travel time: what the mixture is fitted to.

Law: memory is bounded by the histograms' cells that hold pairs, of a camera pair each, and of all
beyond a most together. Distances are taken block by block. Cost grows with the pairs of tracklets,
and with camera pairs up to that most.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import numpy as np

from stgal_stream.core.calibration.camera_pairs import (
    AllPairs,
    SortedTracklets,
    cells_of,
)
from stgal_stream.core.calibration.link_test import BuddyTimes
from stgal_stream.core.calibration.shared_light import SharedLight
from stgal_stream.core.calibration.time_grid import TimeGrid
from stgal_stream.core.gallery.gallery import Gallery
from stgal_stream.core.gallery.normalisation import Normalisation
from stgal_stream.core.measures.best_buddies import MutualNearest
from stgal_stream.core.measures.distance import distances
from stgal_stream.core.measures.travel_time import Spans, travel_times_s
from stgal_stream.core.measures.weighted_counts import weighted_counts
from stgal_stream.types import CameraPair, Floats, Integers, Mask, Vectors, camera_pair

N_DISTANCE_BINS = 96  # of the window's range of distances: 1 % steps, finer than a fit can tell
_MAX_APART = 2_000  # camera pairs of one kind: the memory of a fit
_BLOCK = 256  # queries at a time
_N_SAMPLE = 256  # tracklets that the range and spread of distances are read from
_STRANGERS = 0.02  # so many are expected among the equally close candidates of a tracklet
_QUARTILE = 0.6745  # of a standard Gaussian


ALL_OTHERS: CameraPair = ("", "")  # that were not looked at one by one


@dataclass(slots=True)
class PairHistogram:
    """All pairs of one camera pair, and its best buddies by distance, the closest first: their
    distances, travel times (seconds), and what the link test is told.

    The histogram is sparse: ``cells`` (M,) of distance and time (distance bin times the number of
    time bins, plus the time bin), and how many pairs are in each, ``counts`` (M,). ``width`` is
    that of a distance bin, ``near`` how many pairs are closer than strangers are, by distance bin.
    """

    pair: CameraPair
    cells: Integers
    counts: Floats
    buddy_distances: Floats
    buddy_times: Floats
    facts: BuddyTimes
    width: float
    near: Floats


@dataclass(slots=True)
class HistogramGroup:
    """Camera pairs of one kind.

    ``apart`` are those with a best buddy, up to a most; ``pooled`` all others together (None if
    there are none), ``few`` the best buddies' travel times (seconds) of those others that were
    looked at; ``is_whole`` is False where others were not.
    """

    apart: list[PairHistogram] = field(default_factory=list)
    pooled: PairHistogram | None = None
    few: dict[CameraPair, Floats] = field(default_factory=dict)
    is_whole: bool = True

    @property
    def all(self) -> list[PairHistogram]:
        """Those counted apart and, last, those counted together."""
        return self.apart + ([] if self.pooled is None else [self.pooled])

    def add(self, found: PairHistogram) -> None:
        """Keeps a camera pair apart; without a best buddy, or beyond the most, with all others."""
        if len(found.facts) and len(self.apart) < _MAX_APART:
            self.apart.append(found)
            return
        if found.pair != ALL_OTHERS:
            self.few[found.pair] = found.buddy_times
        if self.pooled is None:
            self.pooled = found
            return
        pooled = self.pooled
        cells = np.concatenate([pooled.cells, found.cells])
        pooled.cells, index = np.unique(cells, return_inverse=True)
        both = np.concatenate([pooled.counts, found.counts])
        pooled.counts = weighted_counts(index, both, len(pooled.cells))
        pooled.buddy_distances = np.concatenate([pooled.buddy_distances, found.buddy_distances])
        pooled.near = pooled.near + found.near
        pooled.buddy_times = np.concatenate([pooled.buddy_times, found.buddy_times])
        pooled.facts = BuddyTimes(
            np.concatenate([pooled.facts.bins, found.facts.bins]),
            np.concatenate([pooled.facts.n_equal, found.facts.n_equal]),
        )


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
    """One camera's tracklets; ``tracks`` (M,) numbers the whole tracks that they are parts of."""

    directions: Vectors
    squares: Vectors
    spans: Spans
    tracks: Integers


def count_pairs(
    gallery: Gallery,
    rows: Integers,
    grid: TimeGrid,
    normalisation: Normalisation,
    light: SharedLight | None = None,
) -> WindowHistograms:
    """Counts all pairs of the tracklets in ``rows`` (N,)."""
    cameras = gallery.cameras[rows]
    directions = normalisation.directions(gallery.embeddings[rows], cameras)
    width, distance_sd = _scale(directions)
    counts = WindowHistograms(width, distance_sd)
    if not len(directions):
        return counts
    spans, tracks = whole_tracks(gallery, rows)
    members = {}
    for i, name in enumerate(gallery.camera_names):
        mine = np.flatnonzero(cameras == i)
        if len(mine):
            squares = np.einsum("nd,nd->n", directions[mine], directions[mine])
            members[name] = _Members(directions[mine], squares, spans[mine], tracks[mine])
    names = sorted(members)
    are_few = math.comb(len(names), 2) <= _MAX_APART
    for name in names:
        if len(members[name].tracks) > 1 or are_few:
            counts.within.add(_count_pair((name, name), members, width, grid, light))
        else:
            counts.within.is_whole = False
    if are_few:
        for pair in itertools.combinations(names, 2):
            counts.across.add(_count_pair(pair, members, width, grid, light))
    else:
        _count_most_telling(counts.across, members, width, grid, light)
    return counts


def _count_most_telling(
    group: HistogramGroup,
    members: dict[str, _Members],
    width: float,
    grid: TimeGrid,
    light: SharedLight | None,
) -> None:
    """Of many camera pairs those with the most best buddies, and all others together."""
    names = sorted(members)
    parts = [members[name] for name in names]
    sizes = [len(part.tracks) for part in parts]
    found = SortedTracklets(
        np.concatenate([part.directions for part in parts]),
        Spans.joined([part.spans for part in parts]),
        np.repeat(np.arange(len(names)), sizes),
        np.cumsum([0, *sizes[:-1]]),
    )
    everything = AllPairs.of(found, grid, light, width, N_DISTANCE_BINS)
    left = everything.across
    for a, b in everything.telling(found, _MAX_APART):
        counted = _count_pair((names[a], names[b]), members, width, grid, light)
        left[counted.cells] -= counted.counts
        group.add(counted)
    group.is_whole = False
    cells = np.flatnonzero(left)
    group.add(_all_others(cells, left[cells], width, grid, max(sizes)))


def _all_others(
    cells: Integers, counts: Floats, width: float, grid: TimeGrid, most: int
) -> PairHistogram:
    """Pairs that tell nothing by themselves, of cameras of up to ``most`` tracklets."""
    by_distance = weighted_counts(cells // grid.n, counts, N_DISTANCE_BINS)
    facts = BuddyTimes(np.zeros(0, np.int64), np.zeros(0, np.int64))
    near = _near(by_distance, width, _reach(by_distance, width, most))
    none = np.zeros(0)
    return PairHistogram(ALL_OTHERS, cells, counts, none, none, facts, width, near)


def _near(by_distance: Floats, width: float, reach: float) -> Floats:
    """How many pairs are closer than strangers are, by distance bin."""
    return np.where((np.arange(N_DISTANCE_BINS) + 1) * width <= reach, by_distance, 0.0)


def whole_tracks(gallery: Gallery, rows: Integers) -> tuple[Spans, Integers]:
    """When the tracklets in some rows were in view, each from the start of its whole track to the
    end of it, and the numbers of those tracks.

    A long track is cut; travel begins where the whole of it ends, not where a part does.
    """
    numbers: dict[tuple[str, str, float], int] = {}
    tracks = np.empty(len(rows), np.int64)
    for k, row in enumerate(rows.tolist()):
        tracklet = gallery[row + gallery.first]
        name = tracklet.track_id if tracklet.track_id is not None else f"\x00{row}"
        key = tracklet.camera, name, tracklet.in_view_from_s
        tracks[k] = numbers.setdefault(key, len(numbers))
    spans = gallery.spans[rows]
    ends = np.full(len(numbers), -np.inf)
    np.maximum.at(ends, tracks, spans.end_s)
    return Spans(spans.camera, spans.start_s, spans.track_start_s, ends[tracks]), tracks


def _scale(directions: Vectors) -> tuple[float, float]:
    """The width of a distance bin and the standard deviation of distances, from a sample."""
    sample = directions[:: max(1, len(directions) // _N_SAMPLE)]
    if len(sample) < 2:
        return 1.0, 1.0
    d = distances(sample, sample)
    apart = d[np.triu_indices(len(sample), 1)]
    return float(d.max()) * 1.05 / N_DISTANCE_BINS or 1.0, float(apart.std()) or 1.0


def _count_pair(
    pair: CameraPair,
    members: dict[str, _Members],
    width: float,
    grid: TimeGrid,
    light: SharedLight | None,
) -> PairHistogram:
    queries, gallery = members[pair[0]], members[pair[1]]
    within = pair[0] == pair[1]
    table = np.zeros(N_DISTANCE_BINS * grid.n, np.int64)
    buddies = MutualNearest(len(queries.spans), len(gallery.spans))
    for start in range(0, len(queries.spans), _BLOCK):
        block = slice(start, start + _BLOCK)
        d, t = _block(queries, gallery, block, grid, light)
        cells = cells_of(d, grid.bins(t), width, N_DISTANCE_BINS, grid)
        if within:  # of one track, or in one camera at one time: nothing to be learned
            apart = _are_apart(queries, gallery, block, t)
            cells = cells[apart]
            d[~apart] = np.inf
        table += np.bincount(cells.ravel(), minlength=len(table))
        buddies.take(start, d)
    mutual = buddies.mutual()
    if within:
        mutual &= np.arange(len(mutual)) < buddies.nearest
    filled = np.flatnonzero(table)
    counts = table[filled] / (2.0 if within else 1.0)
    by_distance = weighted_counts(filled // grid.n, counts, N_DISTANCE_BINS)
    rows = np.flatnonzero(mutual)
    rows = rows[np.argsort(buddies.distance[rows], kind="stable")]
    others = buddies.nearest[rows]
    reach = _reach(by_distance, width, len(gallery.spans))
    alike = _near(by_distance, width, reach)
    facts, near, times = _facts(queries, gallery, rows, others, reach, within, grid, light)
    return PairHistogram(camera_pair(*pair), filled, counts, near, times, facts, width, alike)


def _block(
    queries: _Members,
    gallery: _Members,
    block: slice | Integers,
    grid: TimeGrid,
    light: SharedLight | None,
) -> tuple[Vectors, Floats]:
    """Distances and travel times (B, G) of some queries."""
    d = distances(queries.directions[block], gallery.directions, gallery.squares)
    t = travel_times_s(queries.spans[block][:, None], gallery.spans[None, :])
    if light is not None:
        d = light.seen(d, grid.bins(t)).astype(np.float32)
    return d, t


def _are_apart(queries: _Members, gallery: _Members, block: slice | Integers, t: Floats) -> Mask:
    return np.asarray((t > 0) & (queries.tracks[block][:, None] != gallery.tracks[None, :]))


def _reach(by_distance: Floats, width: float, n_candidates: int) -> float:
    """The distance under which hardly any stranger is expected among so many candidates.

    The cube root of a squared distance is nearly Gaussian (Wilson and Hilferty 1931); its spread is
    read off the far half, where nobody is the same person.
    """
    n = by_distance.sum()
    if n < 2:
        return 0.0
    edges = np.arange(len(by_distance) + 1.0) * width
    reached = np.concatenate([[0.0], np.cumsum(by_distance) / n])
    middle, far = np.cbrt(np.interp((0.5, 0.75), reached, edges) ** 2)
    deviations = math.sqrt(2.0 * math.log(max(2.0, n_candidates / _STRANGERS)))
    return float(max(0.0, middle - deviations * (far - middle) / _QUARTILE) ** 1.5)


def _facts(
    queries: _Members,
    gallery: _Members,
    rows: Integers,
    others: Integers,
    reach: float,
    within: bool,
    grid: TimeGrid,
    light: SharedLight | None,
) -> tuple[BuddyTimes, Floats, Floats]:
    """What the link test is told of best buddies (``rows`` and ``others``, the closest first), and
    their distances and travel times (seconds)."""
    once = _once(_are_one(queries, rows, reach) | _are_one(gallery, others, reach))
    rows, others = rows[once], others[once]
    n_equal = np.zeros(len(rows), np.int64)
    found_d, times = np.zeros(len(rows)), np.zeros(len(rows))
    for start in range(0, len(rows), _BLOCK):
        block = slice(start, start + _BLOCK)
        d, t = _block(queries, gallery, rows[block], grid, light)
        found_d[block] = d[np.arange(len(d)), others[block]]
        equal = d <= np.maximum(found_d[block], reach)[:, None]
        if within:
            equal &= _are_apart(queries, gallery, rows[block], t)
        times[block] = np.where(equal, t, np.inf).min(axis=1)
        n_equal[block] = _n_tracks(equal, gallery.tracks)
    return BuddyTimes(grid.bins(times).astype(np.int64), n_equal), found_d, times


def _are_one(members: _Members, rows: Integers, reach: float) -> Mask:
    """(M, M) whether tracklets are of one track or, as far as looks go, of one person."""
    d = distances(members.directions[rows], members.directions[rows])
    tracks = members.tracks[rows]
    return np.asarray((d <= reach) | (tracks[:, None] == tracks[None, :]))


def _once(are_one: Mask) -> Integers:
    """Which of M stay, in their order, where each one that stays rules out those that are one with
    it, (M, M)."""
    out, kept = np.zeros(len(are_one), bool), []
    for k in range(len(are_one)):
        if not out[k]:
            kept.append(k)
            out |= are_one[k]
    return np.array(kept, np.int64)


def _n_tracks(equal: Mask, tracks: Integers) -> Integers:
    """(B,) how many tracks are among those that are ``equal`` (B, G), of tracks (G,)."""
    n = int(tracks.max()) + 1
    row, column = np.nonzero(equal)
    distinct = np.unique(row * n + tracks[column])
    return np.bincount(distinct // n, minlength=len(equal))
