"""What makes batches ahead: threads, or processes for a GPU; the batches are the same."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest
import torch

from stgal_stream.extractor.crops import CropFormat
from stgal_stream.training.batches import PseudoPair, Sampler
from stgal_stream.training.loader import Loader
from tests.support.pictures import encoded

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def some_loader() -> Loader:
    form = CropFormat(32, 16, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
    pixels = np.random.default_rng(4).integers(0, 256, (12, 3, 32, 16, 3), dtype=np.uint8)
    pairs = [PseudoPair(i, i + 1, 0.9) for i in range(0, 12, 2)]
    return Loader(Sampler(pairs, {}, 1, 3, [3] * 12, 2), encoded(pixels), form)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_processes_make_the_batches_of_threads() -> None:
    loader = some_loader()
    found = list(loader.batches(3, 9, GPU))
    assert len(found) == 6
    for number, other, own in zip(range(3, 9), found, loader.batches(3, 9, CPU), strict=True):
        for name in ("pixels", "same", "other"):
            assert np.array_equal(getattr(other, name), getattr(own, name))
            assert np.array_equal(getattr(other, name), getattr(loader[number], name))


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_processes_end_with_whoever_took_their_batches() -> None:
    batches = some_loader().batches(0, 10_000, GPU)
    next(batches)
    assert multiprocessing.active_children()
    del batches
    assert not multiprocessing.active_children()


def test_the_device_normalises_as_the_daemon_does() -> None:
    ready = some_loader()[0]
    images, same, other = ready.on(CPU)
    assert np.array_equal(images.numpy(), ready.form.normalise(ready.pixels))
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert (same.numpy() == ready.same).all()
    assert (other.numpy() == ready.other).all()
