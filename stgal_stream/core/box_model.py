"""What two boxes of one camera say about being one person, for cameras that do not track.

The law: a local false discovery rate (Efron 2004), without a label. Boxes in two places of one
frame are two people, and where a camera gives no places, boxes minutes apart are hardly ever of one
person; a camera's distances of such pairs are the null: a pair's p-value is the share of them that
lie closer. Were all pairs of a moment two people, their p-values would be
uniform; what piles up near zero is one person seen twice. The share of two people is Storey's
(2002), the density falls with p (Grenander's estimator).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stgal_stream.core.gallery import Gallery
from stgal_stream.core.mixture import LOG_ODDS_LIMIT, Floats, falling
from stgal_stream.core.visual import SAME_BOX_IOU, distances, intersection_over_union
from stgal_stream.types import Box

_P_EDGES = np.concatenate([[0.0], np.geomspace(1e-4, 1.0, 25)])
_N_QUANTILES = 400
_MIN_NULL = 200
_MIN_PAIRS = 30
_PILE = 0.05
_SIGMAS = 6.0
_HALF = 0.5


@dataclass(frozen=True, slots=True)
class BoxModel:
    """``nulls`` holds, by camera, distances at the p-values of ``null_p()``, rising; the two tables
    log odds over the bins of p, for pairs some moments apart and for pairs of one moment. A table
    is None where nothing piles up: no such pair is to be believed one person."""

    nulls: dict[str, Floats]
    apart: Floats | None
    at_once: Floats | None

    def knows(self, camera: str) -> bool:
        """Whether it can tell one person in two boxes of this camera."""
        return self.apart is not None and camera in self.nulls

    def log_odds(self, camera: str, d: Floats, t: Floats) -> Floats:
        """Log posterior odds of one person, for boxes at distances ``d`` (N,) and ``t`` (N,)
        seconds apart, no more than a visit's gap."""
        bins = _bins(p_values(self.nulls[camera], d))
        nothing = np.full(len(_P_EDGES) - 1, -np.inf)
        apart, at_once = (nothing if x is None else x for x in (self.apart, self.at_once))
        return np.where(t == 0, at_once[bins], apart[bins])


def fit_boxes(sample: Gallery, gap_s: float, null_s: tuple[float, float]) -> BoxModel:
    """The model of single boxes: pairs within ``gap_s`` seconds are asked; the null are those in
    two places of one frame or, where these are few, those between the two times ``null_s``."""
    nulls: dict[str, Floats] = {}
    apart, at_once = [], []
    tracklets = sample.tracklets
    for index, camera in enumerate(sample.camera_names):
        mine = np.flatnonzero(sample.cameras == index)
        upper = np.triu_indices(len(mine), 1)
        d = distances(sample.embeddings[mine], sample.embeddings[mine])[upper].astype(np.float64)
        times = sample.starts_s[mine]
        t = np.abs(times[:, None] - times[None, :])[upper]
        boxes = [tracklets[row].box for row in mine.tolist()]
        elsewhere = _in_two_places(boxes, upper, t == 0)
        null = d[elsewhere]
        if len(null) < _MIN_NULL:
            null = d[(t >= null_s[0]) & (t <= null_s[1])]
        if len(null) < _MIN_NULL:
            continue
        nulls[camera] = np.quantile(null, null_p())
        apart.append(p_values(nulls[camera], d[(t > 0) & (t <= gap_s)]))
        at_once.append(p_values(nulls[camera], d[(t == 0) & ~elsewhere]))
    return BoxModel(nulls, _table(apart), _table(at_once))


def _in_two_places(
    boxes: list[Box | None], pairs: tuple[NDArray[np.int64], ...], at_once: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """(M,) whether a pair's boxes, of one frame, lie apart."""
    found = np.zeros(len(at_once), bool)
    for k in np.flatnonzero(at_once).tolist():
        one, other = boxes[pairs[0][k]], boxes[pairs[1][k]]
        if one is not None and other is not None:
            found[k] = intersection_over_union(one, other) < SAME_BOX_IOU
    return found


def null_p() -> Floats:
    """The p-values at which a camera's null is kept: fine near zero."""
    return np.concatenate([[0.0], np.geomspace(1e-5, 1.0, _N_QUANTILES)])


def p_values(null: Floats, d: Floats) -> Floats:
    """The share of a camera's null that lies closer than each distance."""
    return np.interp(d, null, null_p())


def _bins(p: Floats) -> NDArray[np.int64]:
    return np.clip(np.searchsorted(_P_EDGES, p, side="left") - 1, 0, len(_P_EDGES) - 2)


def _table(parts: list[Floats]) -> Floats | None:
    """Log odds of one person over the bins of p, None where small p-values are no more than
    chance."""
    p = np.concatenate(parts) if parts else np.zeros(0)
    n = len(p)
    if n < _MIN_PAIRS:
        return None
    pile, chance = float((p < _PILE).sum()), _PILE * n
    if pile < chance + _SIGMAS * np.sqrt(chance):
        return None
    width = np.diff(_P_EDGES)
    seen = np.bincount(_bins(p), minlength=len(width)) + width
    density = falling(seen / (n + 1) / width, width)
    two_people = min(1.0, float((p > _HALF).mean()) / (1 - _HALF) + 1 / n)
    odds = density / two_people - 1
    limit = np.exp(LOG_ODDS_LIMIT)
    return np.log(np.clip(odds, 1 / limit, limit))
