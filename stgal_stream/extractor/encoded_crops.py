"""The crops of some sightings as they came, decoded when they are asked for.

Law: memory holds encoded pictures, some KB each, and never the pixels of all of them; at one
format a crop decodes to the same pixels every time.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from stgal_stream.extractor.crops import CropFormat, decode_crop

MAX_BYTES = 4 * 1024 * 1024
MAX_PIXELS = 4_000_000
_MOST_THREADS = 8
T = TypeVar("T")
R = TypeVar("R")


def pixels_of(picture: bytes, form: CropFormat) -> NDArray[np.uint8]:
    """(H, W, 3) RGB.

    Raises:
        BadCrop: it cannot be used.
    """
    return decode_crop(picture, form, max_bytes=MAX_BYTES, max_pixels=MAX_PIXELS)


class EncodedCrops:
    """Of each sighting one picture or more, the best one first; all of them can be decoded."""

    def __init__(self, pictures: Sequence[Sequence[bytes]]) -> None:
        self.pictures = pictures

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, some: slice) -> EncodedCrops:
        return EncodedCrops(self.pictures[some])

    @property
    def counts(self) -> list[int]:
        """How many crops there are of each sighting."""
        return [len(pictures) for pictures in self.pictures]

    def pixels(
        self, rows: Iterable[int], views: Iterable[int], form: CropFormat
    ) -> NDArray[np.uint8]:
        """Crop ``views[i]`` of sighting ``rows[i]``: (B, H, W, 3)."""
        chosen = zip(rows, views, strict=True)
        return np.stack([pixels_of(self.pictures[row][view], form) for row, view in chosen])

    def some(self, n: int, form: CropFormat) -> NDArray[np.uint8]:
        """The best crops of at most ``n`` sightings, always the same ones."""
        rows = np.random.default_rng(0).permutation(len(self))[:n].tolist()
        return self.pixels(rows, [0] * len(rows), form)


def ahead(
    work: Callable[[T], R], items: Iterable[T], *, n_threads: int | None = None, n_ahead: int = 4
) -> Iterator[R]:
    """``map`` in threads, a few results ahead of whoever takes them."""
    n_threads = n_threads or min(_MOST_THREADS, len(os.sched_getaffinity(0)))
    with ThreadPoolExecutor(n_threads) as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > max(n_ahead, n_threads):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
