"""Batches ready for the network, made in threads while it trains.

The law: batch ``n`` is a function of the seed and ``n`` alone, however many threads make it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from stgal_stream.extractor.crops import CropFormat
from stgal_stream.retraining.batches import Batch, augmented

_N_AHEAD = 4
_N_THREADS = 2


class Draws(Protocol):
    """Who says which crops a batch holds."""

    def batch(self, number: int) -> tuple[Batch, np.random.Generator]:
        """Batch ``number``, and the generator to augment it with."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Augmented, normalised crops (B, 3, H, W), and which pairs are held for one person or two."""

    images: torch.Tensor
    same: torch.Tensor
    other: torch.Tensor


class Loader:
    """Draws batches, cuts their crops out of ``views`` (K, H, W, 3) of each sighting, augments."""

    def __init__(self, draws: Draws, views: list[NDArray[np.uint8]], form: CropFormat) -> None:
        self._draws = draws
        self._views = views
        self._form = form

    def batch(self, number: int) -> Ready:
        """One batch, made on the spot."""
        batch, rng = self._draws.batch(number)
        chosen = zip(batch.rows.tolist(), batch.views.tolist(), strict=True)
        pixels = np.stack([self._views[row][view] for row, view in chosen])
        planes = self._form.normalise(augmented(pixels, rng))
        # By numpy: torch would start threads of its own beside those that train.
        channels_last = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
        return Ready(
            torch.from_numpy(channels_last).permute(0, 3, 1, 2),
            torch.from_numpy(batch.same),
            torch.from_numpy(batch.other),
        )

    def batches(self, first: int, stop: int) -> Iterator[Ready]:
        """Batches ``first`` to ``stop``, a few of them ahead."""
        with ThreadPoolExecutor(_N_THREADS) as pool:
            waiting: deque[Future[Ready]] = deque()
            try:
                for number in range(first, stop):
                    waiting.append(pool.submit(self.batch, number))
                    if len(waiting) > _N_AHEAD:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()
