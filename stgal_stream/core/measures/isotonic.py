"""Isotonic regression."""

from __future__ import annotations

import numpy as np

from stgal_stream.types import Floats


def isotonic_decreasing(values: Floats, weights: Floats) -> Floats:
    """The closest sequence that never rises, (N,) -> (N,), by weighted least squares.

    Pool adjacent violators (Barlow et al. 1972). Equal to scikit-learn's, which the core does not
    import; the tests compare them with a quadratic reference.
    """
    blocks: list[list[float]] = []  # mean, weight, length
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        blocks.append([value, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] < blocks[-1][0]:
            mean, heavy, length = blocks.pop()
            last = blocks[-1]
            last[0] = (last[0] * last[1] + mean * heavy) / (last[1] + heavy)
            last[1] += heavy
            last[2] += length
    return np.repeat([b[0] for b in blocks], [int(b[2]) for b in blocks])
