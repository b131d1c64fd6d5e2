"""Light that cameras share: what makes strangers look alike because they passed at one time.

A cloud, a dusk, a change of exposure moves all embeddings of some minutes in one direction, so
neighbours in time lie closer than any two people, and what tells the hour passes for what tells the
person. Known negatives (equation 2) show how much: they were in one camera at one time; where these
are few, who passed one camera within moments. How that
fades with the time between two looks is read off the medians of a camera's own pairs, of which
those who come back are a minority; it can never be more than known negatives show.

Law: ``seen`` distances are such that at every time between them two strangers lie as any two do.
Where known negatives lie no closer than others, nothing is changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stgal_stream.core.calibration.time_grid import TimeGrid
from stgal_stream.core.gallery.gallery import Gallery
from stgal_stream.core.gallery.normalisation import Normalisation
from stgal_stream.core.measures.distance import distances
from stgal_stream.core.measures.isotonic import isotonic_decreasing
from stgal_stream.types import Floats, Integers, Mask

_MIN_NEGATIVES = 30  # fewer cannot show what light does
_DEVIATIONS = 3.0  # that known negatives must lie closer by, to be believed
_PER_CAMERA = 400  # tracklets of a camera whose pairs are looked at
_MIN_PAIRS = 50  # in a stretch of time, to have a median
_STRETCHES = 12  # of the time grid, in which medians are taken


@dataclass(frozen=True, slots=True)
class SharedLight:
    """How strangers lie apart in each bin of the time grid, (n,) each: the middle and the spread of
    the cube root of a squared distance, which is nearly Gaussian. The last bin is the usual."""

    middle: Floats
    spread: Floats

    def seen(self, d: NDArray[np.floating], bins: NDArray[np.integer]) -> Floats:
        """Distances as they would be at a time of their own, from distances and the bins of their
        travel times, of one shape."""
        u = np.cbrt(np.square(d, dtype=np.float64))
        u = (u - self.middle[bins]) * (self.spread[-1] / self.spread[bins]) + self.middle[-1]
        return np.asarray(np.maximum(u, 0.0) ** 1.5)


def shared_light(
    gallery: Gallery,
    rows: Integers,
    normalisation: Normalisation,
    grid: TimeGrid,
    negatives: Sequence[tuple[int, int]],
    distances_apart: Floats,
) -> SharedLight | None:
    """What light does in a window, from the tracklets in ``rows`` (N,), known negatives (M pairs of
    rows) and their distances (M,); None where it does nothing that can be told.

    Single boxes of which no place is known take no part: two of one moment may be one person.
    """
    sure = _are_sure(gallery)
    rows = rows[sure[rows]]
    apart = distances_apart[np.array([sure[i] and sure[j] for i, j in negatives], bool)]
    bins, d = _own_pairs(gallery, rows, normalisation, grid)
    if len(d) < _MIN_PAIRS:
        return None
    u, at_once = np.cbrt(d * d), np.cbrt(apart * apart)
    step = max(1, grid.n // _STRETCHES)
    known, rising = _rising(bins // step, u)
    if len(at_once) < _MIN_NEGATIVES:
        at_once = u[bins // step == known[0]]
    usual, closest = float(rising[-1]), float(np.median(at_once))
    error = 1.2533 * float(at_once.std()) / np.sqrt(len(at_once))
    if closest + _DEVIATIONS * error >= usual:
        return None
    middle = np.interp(np.arange(grid.n) + 0.5, known * step + step / 2.0, rising)
    middle = np.clip(middle, closest, usual)
    share = (middle - closest) / (usual - closest)
    far = bins // step == known[-1]
    spreads = _far_half(at_once), _far_half(u[far])
    return SharedLight(middle, spreads[0] + share * (spreads[1] - spreads[0]))


def _rising(stretches: Integers, u: Floats) -> tuple[Integers, Floats]:
    """The stretches of time with enough pairs, and their medians, which never fall with time."""
    n = np.bincount(stretches)
    known = np.flatnonzero(n >= min(_MIN_PAIRS, n.max()))
    medians = np.array([np.median(u[stretches == k]) for k in known.tolist()])
    return known, -isotonic_decreasing(-medians, n[known].astype(np.float64))


def _far_half(u: Floats) -> float:
    """The spread of strangers, read off the far half, where nobody is the same person."""
    middle, far = np.quantile(u, (0.5, 0.75))
    return float(max(far - middle, 1e-6))


def _are_sure(gallery: Gallery) -> Mask:
    """(N,) whether a tracklet is surely one person and another than its neighbours."""
    return np.array(
        [
            t.track_id is not None or t.box is not None or len(t.detection_ids) > 1
            for t in gallery.tracklets
        ],
        bool,
    )


def _own_pairs(
    gallery: Gallery, rows: Integers, normalisation: Normalisation, grid: TimeGrid
) -> tuple[Integers, Floats]:
    """Time bins and distances of pairs within each camera that were not there at one time."""
    bins, found = [], []
    for camera in np.unique(gallery.cameras[rows]):
        mine = rows[gallery.cameras[rows] == camera]
        mine = mine[:: max(1, len(mine) // _PER_CAMERA)]
        directions = normalisation.directions(gallery.embeddings[mine], gallery.cameras[mine])
        upper = np.triu_indices(len(mine), 1)
        d = distances(directions, directions)[upper]
        t = gallery.travel_times_s(mine, mine)[upper]
        apart = t > 0
        bins.append(grid.bins(t[apart]).astype(np.int64))
        found.append(d[apart].astype(np.float64))
    if not found:
        return np.zeros(0, np.int64), np.zeros(0)
    return np.concatenate(bins), np.concatenate(found)
