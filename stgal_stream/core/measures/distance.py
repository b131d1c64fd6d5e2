"""Appearance: distances between embeddings and the visual probability (equation 1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from stgal_stream.types import Floats, Vectors


def distances(queries: Vectors, gallery: Vectors, squares: Vectors | None = None) -> Vectors:
    """Euclidean distances, (Q, D) x (G, D) -> (Q, G) float32.

    ``squares`` (G,) are the gallery's squared lengths where they are known already.
    """
    squared = queries @ gallery.T
    squared *= -2.0
    squared += np.einsum("qd,qd->q", queries, queries)[:, None]
    squared += (np.einsum("gd,gd->g", gallery, gallery) if squares is None else squares)[None, :]
    np.maximum(squared, 0.0, out=squared)  # rounding can take it below zero
    result: Vectors = np.sqrt(squared, out=squared)
    return result


def visual_probability(distance: ArrayLike, alpha: float) -> Floats:
    """P_v = exp(-alpha d) (equation 1). The paper's alpha is 0.01."""
    return np.exp(-alpha * np.asarray(distance, dtype=np.float64))
