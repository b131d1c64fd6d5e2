"""What two boxes of one camera say about being one person, for cameras that do not track.

A local false discovery rate (Efron 2004), learned without a label. The null is pairs of two people:
boxes in two places of one frame or, where a camera gives no places, boxes minutes apart. A pair's
p-value is the share of its camera's null that lies closer. If all pairs of boxes a moment apart
were of two people, their p-values would be uniform; those of one person pile up near zero. The
share of two people is Storey's estimator (2002), the density that falls with p is Grenander's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stgal_stream.core.measures.boxes import SAME_BOX_IOU, intersection_over_union
from stgal_stream.core.measures.distance import distances
from stgal_stream.core.measures.isotonic import isotonic_decreasing
from stgal_stream.core.measures.log_odds import LOG_ODDS_LIMIT
from stgal_stream.types import Box, Floats, Integers, Mask, Vector

# Bins of p, equal in their logarithm: one person's pairs lie near zero, where the null is thin.
_P_EDGES = np.concatenate([[0.0], np.geomspace(1e-4, 1.0, 25)])
# The p-values at which a camera's null is kept between two fits: fine near zero.
NULL_P = np.concatenate([[0.0], np.geomspace(1e-5, 1.0, 400)])
_MIN_NULL = 200  # fewer cannot tell a p-value of 0.5 %
_MIN_PAIRS = 30  # fewer cannot show a pile of six standard deviations
_PILE = 0.05  # p-values under it are counted for the pile
_PILE_SIGMAS = 6.0  # how far the pile must exceed chance (Poisson) to be believed
_STOREY_LAMBDA = 0.5  # above it, p-values are taken for those of two people (Storey 2002)


@dataclass(frozen=True, slots=True)
class SampleBox:
    """A single box, kept for fitting."""

    camera: str
    time_s: float
    embedding: Vector
    detection_id: str
    box: Box | None


@dataclass(frozen=True, slots=True)
class BoxPairModel:
    """``nulls`` holds, by camera, the null's distances at the p-values ``NULL_P``, rising.

    The two tables are log odds over the bins of p, for pairs some moments ``apart`` and for
    ``simultaneous`` ones. A table is None where nothing piles up near zero: then no such pair is
    taken for one person.
    """

    nulls: dict[str, Floats]
    apart: Floats | None
    simultaneous: Floats | None

    def knows(self, camera: str) -> bool:
        """Whether it can recognise one person in two boxes of this camera."""
        return self.apart is not None and camera in self.nulls

    def log_odds(self, camera: str, d: Floats, t: Floats) -> Floats:
        """Log posterior odds (N,) of one person, for boxes at distances ``d`` (N,) and ``t`` (N,)
        seconds apart, no more than the gap of a box track."""
        bins = _bins(p_values(self.nulls[camera], d))
        nothing = np.full(len(_P_EDGES) - 1, -np.inf)
        apart, simultaneous = (nothing if x is None else x for x in (self.apart, self.simultaneous))
        return np.where(t == 0, simultaneous[bins], apart[bins])


def fit_box_pairs(
    sample: Sequence[SampleBox], gap_s: float, null_s: tuple[float, float]
) -> BoxPairModel:
    """The model of single boxes.

    Pairs within ``gap_s`` seconds are explained. The null are pairs in two places of one frame or,
    where these are few, pairs whose times differ by between ``null_s`` seconds.
    """
    nulls: dict[str, Floats] = {}
    apart, simultaneous = [], []
    for camera in dict.fromkeys(box.camera for box in sample):
        mine = [box for box in sample if box.camera == camera]
        upper = np.triu_indices(len(mine), 1)
        embeddings = np.stack([box.embedding for box in mine])
        d = distances(embeddings, embeddings)[upper].astype(np.float64)
        times = np.array([box.time_s for box in mine])
        t = np.abs(times[:, None] - times[None, :])[upper]
        elsewhere = _in_two_places([box.box for box in mine], upper, t == 0)
        null = d[elsewhere]
        if len(null) < _MIN_NULL:
            null = d[(t >= null_s[0]) & (t <= null_s[1])]
        if len(null) < _MIN_NULL:
            continue
        nulls[camera] = _quantiles(null)
        apart.append(p_values(nulls[camera], d[(t > 0) & (t <= gap_s)]))
        simultaneous.append(p_values(nulls[camera], d[(t == 0) & ~elsewhere]))
    return BoxPairModel(nulls, _log_odds_table(apart), _log_odds_table(simultaneous))


def _in_two_places(
    boxes: list[Box | None], pairs: tuple[Integers, ...], simultaneous: Mask
) -> Mask:
    """(M,) whether a pair's boxes, of one frame, lie apart."""
    found = np.zeros(len(simultaneous), bool)
    for k in np.flatnonzero(simultaneous).tolist():
        one, other = boxes[pairs[0][k]], boxes[pairs[1][k]]
        if one is not None and other is not None:
            found[k] = intersection_over_union(one, other) < SAME_BOX_IOU
    return found


def _quantiles(null: Floats) -> Floats:
    """The distances at ``NULL_P``; one sort is faster than numpy's search for hundreds of ranks."""
    ranks = NULL_P * (len(null) - 1)
    return np.asarray(np.interp(ranks, np.arange(len(null)), np.sort(null)))


def p_values(null: Floats, d: Floats) -> Floats:
    """The share of a camera's null that lies closer than each distance."""
    return np.asarray(np.interp(d, null, NULL_P))


def _bins(p: Floats) -> Integers:
    return np.clip(np.searchsorted(_P_EDGES, p, side="left") - 1, 0, len(_P_EDGES) - 2)


def _log_odds_table(parts: list[Floats]) -> Floats | None:
    """Log odds of one person over the bins of p; None where small p-values are no more than
    chance."""
    p = np.concatenate(parts) if parts else np.zeros(0)
    n = len(p)
    if n < _MIN_PAIRS:
        return None
    pile, chance = float((p < _PILE).sum()), _PILE * n
    if pile < chance + _PILE_SIGMAS * np.sqrt(chance):
        return None
    width = np.diff(_P_EDGES)
    seen = np.bincount(_bins(p), minlength=len(width)) + width
    density = isotonic_decreasing(seen / (n + 1) / width, width)
    two_people = min(1.0, float((p > _STOREY_LAMBDA).mean()) / (1 - _STOREY_LAMBDA) + 1 / n)
    odds = density / two_people - 1
    limit = np.exp(LOG_ODDS_LIMIT)
    return np.log(np.clip(odds, 1 / limit, limit))
