"""Camera-centred embeddings: how two of them are compared.

A camera's light, colour and blur move all its embeddings in one direction, and a blurred crop has a
short embedding. Neither says who somebody is. So the camera's mean is subtracted and the length is
divided out. Distances between such directions lie between 0 and 2 for every extractor.

Law: a direction depends on the embedding and the normalisation alone, row by row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stgal_stream.core.measures.distance import distances
from stgal_stream.types import Integers, Vectors

# A camera's mean counts as so many tracklets of the mean of all: with fewer of its own, those are
# as likely to show who passed as what the camera does.
_PRIOR_TRACKLETS = 20.0
_IN_CACHE = 4096  # columns of distances that are worked on at a time
_TINY = 1e-12  # an embedding that equals its camera's mean has no direction


@dataclass(frozen=True, slots=True)
class Normalisation:
    """``means`` (C + 1, D) are the cameras' by index, the last one that of all cameras; None
    compares embeddings as they are, as the paper does."""

    means: Vectors | None = None

    def without(self, camera: int) -> Normalisation:
        """The same, with the mean of all for a camera (by index) of which nothing is known."""
        if self.means is None or camera >= len(self.means) - 1:
            return self
        means = self.means.copy()
        means[camera] = means[-1]
        return Normalisation(means)

    def directions(self, embeddings: Vectors, cameras: Integers) -> Vectors:
        """What is compared, (N, D), of embeddings (N, D) by cameras (N,)."""
        if self.means is None:
            return embeddings
        centred = embeddings - self.means[self._rows(cameras)]
        return np.asarray(centred * self.scales(embeddings, cameras)[:, None], dtype=np.float32)

    def scales(self, embeddings: Vectors, cameras: Integers) -> Vectors:
        """(N,) one over each length, as seen from the camera's mean."""
        if self.means is None:
            return np.ones(len(embeddings), np.float32)
        centred = embeddings - self.means[self._rows(cameras)]
        lengths = np.sqrt(np.einsum("nd,nd->n", centred, centred))
        return np.asarray(1.0 / np.maximum(lengths, _TINY), dtype=np.float32)

    def distances(
        self,
        queries: Vectors,
        embeddings: Vectors,
        cameras: Integers,
        scales: Vectors,
        squares: Vectors,
    ) -> Vectors:
        """Distances (Q, N) of directions (Q, D) to embeddings (N, D) as they are stored, without a
        second copy of them: ``scales`` (N,) are theirs, ``squares`` (N,) their squared lengths."""
        if self.means is None:
            return distances(queries, embeddings, squares)
        product: Vectors = queries @ embeddings.T
        of_means, rows, factors = queries @ self.means.T, self._rows(cameras), -2.0 * scales
        for start in range(0, len(rows), _IN_CACHE):
            part = slice(start, start + _IN_CACHE)
            d = product[:, part]
            d -= of_means.take(rows[part], axis=1)
            d *= factors[part]
            d += 2.0
            np.maximum(d, 0.0, out=d)
            np.sqrt(d, out=d)
        return product

    def _rows(self, cameras: Integers) -> Integers:
        """Rows of the means: a camera that came later has the mean of all."""
        assert self.means is not None
        return np.minimum(cameras, len(self.means) - 1)


def camera_centred(embeddings: Vectors, cameras: Integers) -> Normalisation:
    """The normalisation learned from a window, (N, D) and (N,)."""
    if not len(embeddings):
        return Normalisation()
    n_cameras = int(cameras.max()) + 1
    overall = embeddings.mean(axis=0, dtype=np.float64)
    means = np.tile(overall, (n_cameras + 1, 1))
    for camera in range(n_cameras):
        mine = embeddings[cameras == camera]
        total = mine.sum(axis=0, dtype=np.float64) + _PRIOR_TRACKLETS * overall
        means[camera] = total / (len(mine) + _PRIOR_TRACKLETS)
    return Normalisation(means.astype(np.float32))
