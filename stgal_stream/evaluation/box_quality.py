"""How good tracked boxes are, against a ground truth of boxes, over all cameras together.

Two boxes of one frame can be one where they overlap by half, as in MOTChallenge.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from stgal_stream.errors import DataError
from stgal_stream.evaluation.labelled_boxes import LabelledBox, overlaps
from stgal_stream.evaluation.stream_quality import PairQuality, matched_one_to_one, pair_quality

_LEAST_OVERLAP = 0.5
_Frames = dict[tuple[str, int], list[LabelledBox]]


@dataclass(frozen=True, slots=True)
class IdentityQuality:
    """IDP, IDR and IDF1 (Ristani et al. 2016): boxes explained by the best one-to-one matching of
    identities and people, over those that were given, those that are true, and both."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class BoxQuality:
    """``found`` is the share of true boxes with a tracked one, ``right`` the share of tracked boxes
    with a true one; ``across`` are the pairs of boxes of two cameras that have one: which share an
    identity, and which should. ``identities`` is over all cameras, ``by_camera`` each alone."""

    n_true: int
    n_given: int
    found: float
    right: float
    identities: IdentityQuality
    by_camera: dict[str, IdentityQuality]
    across: PairQuality

    def as_json(self) -> dict[str, Any]:
        """Plain values; figures are fractions."""
        return {**asdict(self), "across": {**asdict(self.across), "f1": self.across.f1}}


def box_quality(given: Sequence[LabelledBox], truth: Sequence[LabelledBox]) -> BoxQuality:
    """Scores boxes by camera and frame. Where each side has one camera, they are the same.

    Raises:
        DataError: the two have no camera in common.
    """
    truth = _on_one_name(given, truth)
    ours, true = _by_frame(given), _by_frame(truth)
    together: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    matched: list[tuple[LabelledBox, LabelledBox]] = []
    for at in sorted(ours.keys() & true.keys()):
        shared = overlaps(_array(ours[at]), _array(true[at]))
        for i, k in np.argwhere(shared >= _LEAST_OVERLAP):
            together[at[0]][ours[at][i].person, true[at][k].person] += 1
        matched += [(ours[at][i], true[at][k]) for i, k in _closest(shared)]
    n_given, n_true = Counter(b.camera for b in given), Counter(b.camera for b in truth)
    everywhere: Counter[tuple[str, str]] = sum(together.values(), Counter())
    return BoxQuality(
        n_true=len(truth),
        n_given=len(given),
        found=len(matched) / max(1, len(truth)),
        right=len(matched) / max(1, len(given)),
        identities=_identities(everywhere, len(given), len(truth)),
        by_camera={
            camera: _identities(together[camera], n_given[camera], n_true[camera])
            for camera in sorted(n_given | n_true)
        },
        across=pair_quality(
            [ours.person for ours, _ in matched],
            [true.person for _, true in matched],
            [true.camera for _, true in matched],
        ),
    )


def _on_one_name(given: Sequence[LabelledBox], truth: Sequence[LabelledBox]) -> list[LabelledBox]:
    """The truth, under the name that the tracker has for the only camera of both."""
    ours, true = ({box.camera for box in boxes} for boxes in (given, truth))
    if len(ours) == len(true) == 1:
        (name,) = ours
        return [replace(box, camera=name) for box in truth]
    if not ours & true:
        raise DataError(
            f"no camera is in both: {_some(ours)} were tracked, the truth has {_some(true)}",
            hint="name the files of the truth as the cameras",
        )
    return list(truth)


def _closest(shared: NDArray[np.float64]) -> list[tuple[int, int]]:
    """As many pairs that overlap enough as there can be, and among those the closest."""
    near = shared >= _LEAST_OVERLAP
    rows, columns = linear_sum_assignment(np.where(near, len(shared) + shared, 0.0), maximize=True)
    return [(int(i), int(k)) for i, k in zip(rows, columns, strict=True) if near[i, k]]


def _identities(together: Counter[tuple[str, str]], n_given: int, n_true: int) -> IdentityQuality:
    explained = matched_one_to_one(together)
    return IdentityQuality(
        explained / max(1, n_given),
        explained / max(1, n_true),
        2 * explained / max(1, n_given + n_true),
    )


def _by_frame(boxes: Sequence[LabelledBox]) -> _Frames:
    found: _Frames = defaultdict(list)
    for box in boxes:
        found[box.camera, box.frame].append(box)
    return found


def _array(boxes: Sequence[LabelledBox]) -> NDArray[np.float64]:
    return np.array([box.box for box in boxes])


def _some(names: set[str]) -> str:
    shown = sorted(names)[:5]
    return (", ".join(shown) or "none") + (" …" if len(names) > len(shown) else "")
