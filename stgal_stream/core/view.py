"""How embeddings are compared: as directions seen from their camera's mean.

A camera's light, colour and blur move all its embeddings alike, and a blurred crop's embedding is
short; neither says who somebody is. So an embedding's camera mean is taken off and its length
forgotten. Distances between such directions lie between 0 and 2, whatever the release's own scale.
The law: what is compared depends on the embedding and the view alone, row by row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stgal_stream.core.visual import distances

_PRIOR_TRACKLETS = 20.0
_TINY = 1e-12
Vectors = NDArray[np.float32]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class View:
    """``means`` (C + 1, D) are the cameras' by index, the last one that of all; None compares
    embeddings as they are, as the paper does."""

    means: Vectors | None = None

    def directions(self, embeddings: Vectors, cameras: Indices) -> Vectors:
        """(N, D) what is compared; ``cameras`` (N,) are indices."""
        if self.means is None:
            return embeddings
        centred = embeddings - self.means[self._of(cameras)]
        return np.asarray(centred * self.scales(embeddings, cameras)[:, None], dtype=np.float32)

    def scales(self, embeddings: Vectors, cameras: Indices) -> Vectors:
        """(N,) one over each length seen from the camera's mean."""
        if self.means is None:
            return np.ones(len(embeddings), np.float32)
        centred = embeddings - self.means[self._of(cameras)]
        lengths = np.sqrt(np.einsum("nd,nd->n", centred, centred))
        return np.asarray(1.0 / np.maximum(lengths, _TINY), dtype=np.float32)

    def distances(
        self,
        queries: Vectors,
        embeddings: Vectors,
        cameras: Indices,
        scales: Vectors,
        squares: Vectors,
    ) -> Vectors:
        """Distances (Q, N) of directions (Q, D) to embeddings (N, D) as they are stored, without a
        second copy of them: ``scales`` are theirs, ``squares`` their squared lengths (N,)."""
        if self.means is None:
            return distances(queries, embeddings, squares)
        product = queries @ embeddings.T
        product -= (queries @ self.means.T)[:, self._of(cameras)]
        product *= -2.0 * scales[None, :]
        product += 2.0
        np.maximum(product, 0.0, out=product)
        result: Vectors = np.sqrt(product, out=product)
        return result

    def _of(self, cameras: Indices) -> Indices:
        """Rows of the means: a camera not seen when they were taken has that of all."""
        assert self.means is not None
        return np.minimum(cameras, len(self.means) - 1)


def centred_view(embeddings: Vectors, cameras: Indices) -> View:
    """The view of a window (N, D). A camera with few embeddings is drawn to the mean of all."""
    if not len(embeddings):
        return View()
    n_cameras = int(cameras.max()) + 1
    overall = embeddings.mean(axis=0, dtype=np.float64)
    means = np.tile(overall, (n_cameras + 1, 1))
    for camera in range(n_cameras):
        mine = embeddings[cameras == camera]
        total = mine.sum(axis=0, dtype=np.float64) + _PRIOR_TRACKLETS * overall
        means[camera] = total / (len(mine) + _PRIOR_TRACKLETS)
    return View(means.astype(np.float32))
