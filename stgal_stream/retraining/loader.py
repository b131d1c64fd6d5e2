"""Batches ready for the network, made in threads while it trains.

The law: batch ``n`` is a function of the seed and ``n`` alone, however many threads make it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from stgal_stream.extractor.crops import CropFormat
from stgal_stream.retraining.batches import Batch, augmented
from stgal_stream.retraining.encoded_crops import EncodedCrops, ahead


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
    """Draws batches, decodes their crops at the network's format, augments."""

    def __init__(self, draws: Draws, crops: EncodedCrops, form: CropFormat) -> None:
        self._draws = draws
        self._crops = crops
        self._form = form

    def batch(self, number: int) -> Ready:
        """One batch, made on the spot."""
        batch, rng = self._draws.batch(number)
        pixels = self._crops.pixels(batch.rows.tolist(), batch.views.tolist(), self._form)
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
        return ahead(self.batch, range(first, stop))
