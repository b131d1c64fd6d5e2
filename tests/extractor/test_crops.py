"""Preprocessing: bombs, broken files, and the numbers that a network gets."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stgal_stream.extractor.crops import BadCrop, CropFormat, decode_crop
from tests.support.images import bomb

FORM = CropFormat(16, 8, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


def take(data: bytes) -> np.ndarray:
    return decode_crop(data, FORM, max_bytes=1_000_000, max_pixels=1_000_000)


def encoded(kind: str, mode: str = "RGB", size: tuple[int, int] = (30, 60)) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, 120 if mode in "LP" else None).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("JPEG", "RGB"),
        ("JPEG", "L"),
        ("JPEG", "CMYK"),
        ("PNG", "RGBA"),
        ("PNG", "P"),
        ("WEBP", "RGB"),
    ],
)
def test_every_kind_of_picture_gets_the_networks_size(kind: str, mode: str) -> None:
    assert take(encoded(kind, mode)).shape == (16, 8, 3)


def test_normalisation_is_the_formula() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 16, 8, 3), dtype=np.uint8)
    wanted = (pixels / 255.0 - np.array(FORM.mean)) / np.array(FORM.std)
    assert FORM.normalise(pixels) == pytest.approx(wanted.transpose(0, 3, 1, 2), abs=1e-5)
    assert FORM.normalise(pixels).dtype == np.float32


@pytest.mark.parametrize("side", [2_000, 60_000])
def test_decompression_bombs_are_refused_by_their_header(side: int) -> None:
    with pytest.raises(BadCrop) as caught:
        take(bomb(side))
    assert caught.value.too_large


def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(BadCrop) as caught:
        take(b"\xff\xd8" + b"x" * 1_000_001)
    assert caught.value.too_large


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"GIF89a...", encoded("PNG")[:40]])
def test_broken_pictures_are_refused(data: bytes) -> None:
    with pytest.raises(BadCrop) as caught:
        take(data)
    assert not caught.value.too_large


@given(st.integers(0, 600), st.integers(0, 255))
def test_a_flipped_byte_is_taken_or_refused(at: int, value: int) -> None:
    data = bytearray(encoded("JPEG"))
    data[at % len(data)] = value
    with contextlib.suppress(BadCrop):
        assert take(bytes(data)).shape == (16, 8, 3)
