"""Batches ready for the network, made beside it while it trains.

Law: batch ``n`` is a function of the seed and ``n`` alone, whoever makes it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from stgal_stream.extractor.crops import CropFormat
from stgal_stream.extractor.encoded_crops import EncodedCrops, ahead
from stgal_stream.training.batches import Batch, augmented

_MOST_WORKERS = 8


class Draws(Protocol):
    """Who says which crops a batch holds."""

    def batch(self, number: int) -> tuple[Batch, np.random.Generator]:
        """Batch ``number``, and the generator to augment it with."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Augmented crops (B, H, W, 3), and which pairs are held for one person (B, B) or two."""

    pixels: NDArray[np.uint8]
    same: NDArray[np.bool_]
    other: NDArray[np.bool_]
    form: CropFormat

    def on(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The crops normalised, (B, 3, H, W) channels last, and the pairs. Bytes travel; a GPU
        makes floats of them itself."""
        pixels, same, other = (
            torch.from_numpy(array).to(device, non_blocking=True)
            for array in (self.pixels, self.same, self.other)
        )
        scale, shift = (torch.from_numpy(each).to(device) for each in self.form.affine)
        return (pixels.float() * scale - shift).permute(0, 3, 1, 2), same, other


class Loader(Dataset[Ready]):
    """Draws batches, decodes their crops at the network's format, augments."""

    def __init__(self, draws: Draws, crops: EncodedCrops, form: CropFormat) -> None:
        self._draws = draws
        self._crops = crops
        self._form = form

    def __getitem__(self, number: int) -> Ready:
        """One batch, made on the spot."""
        batch, rng = self._draws.batch(number)
        pixels = self._crops.pixels(batch.rows.tolist(), batch.views.tolist(), self._form)
        return Ready(augmented(pixels, rng), batch.same, batch.other, self._form)

    def batches(self, first: int, stop: int, device: torch.device) -> Iterator[Ready]:
        """Batches ``first`` to ``stop``, a few of them ahead: made in threads, or for a GPU in
        processes, since there the interpreter is busy enough with telling it what to do."""
        if device.type == "cpu":
            return ahead(self.__getitem__, range(first, stop))
        return iter(
            DataLoader(
                self,
                batch_size=None,
                sampler=range(first, stop),
                num_workers=_n_workers(),
                collate_fn=_as_it_is,
                worker_init_fn=_leave_signals_to_parent,
                multiprocessing_context="fork",
            )
        )


def _n_workers() -> int:
    """The cores are shared with the other processes that ``torchrun`` started here."""
    peers = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, min(_MOST_WORKERS, len(os.sched_getaffinity(0)) // peers))


def _as_it_is(ready: Any) -> Any:
    """Arrays are piped; tensors would take shared memory, of which a container has little."""
    return ready


def _leave_signals_to_parent(worker: int) -> None:
    """A stop is the parent's to notice; it then ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
