"""Preprocessing: bombs, broken files, and the numbers that a network gets."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter, ImageOps

from stgal_stream.extractor.crops import BadCrop, CropFormat, decode_crop, detail, weight_of
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


def drawn() -> Image.Image:
    """An upright picture whose four corners differ, smooth enough for any codec."""
    y, x = np.mgrid[0:64, 0:32] / 64.0
    return Image.fromarray(np.stack([255 * y, 510 * x, 255 * (1 - y)], axis=2).astype(np.uint8))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_exif_says(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    picture = drawn()
    # Stored so that a viewer, which turns it as the tag says, shows it upright.
    stored = next(
        turned
        for how in [None, *Image.Transpose]
        if ImageOps.exif_transpose(tagged(turned := turned_by(picture, how), exif)).tobytes()
        == picture.tobytes()
    )
    stored.save(buffer, kind, exif=exif, quality=95)
    upright = io.BytesIO()
    picture.save(upright, kind, quality=95)
    difference = take(buffer.getvalue()).astype(int) - take(upright.getvalue())
    assert np.abs(difference).max() <= 12


def turned_by(picture: Image.Image, how: Image.Transpose | None) -> Image.Image:
    return picture.copy() if how is None else picture.transpose(how)


def tagged(picture: Image.Image, exif: Image.Exif) -> Image.Image:
    """As if it came from a file with this EXIF."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", exif=exif)
    return Image.open(buffer)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize(
    "exif", [b"", b"Exif\x00\x00", b"Exif\x00\x00MM\x00*\xff\xff\xff\xff", b"x" * 60]
)
def test_a_broken_exif_turns_nothing(exif: bytes) -> None:
    buffer, plain = io.BytesIO(), io.BytesIO()
    drawn().save(buffer, "JPEG", exif=exif, quality=95)
    drawn().save(plain, "JPEG", quality=95)
    assert (take(buffer.getvalue()) == take(plain.getvalue())).all()


@pytest.mark.parametrize("byte_order", ["<u2", ">u2"])
def test_16_bits_of_grey_look_like_8(byte_order: str) -> None:
    grey = np.asarray(drawn().convert("L"))
    deep, plain = io.BytesIO(), io.BytesIO()
    Image.fromarray((grey.astype(np.uint16) * 257).astype(byte_order)).save(deep, "PNG")
    Image.fromarray(grey).save(plain, "PNG")
    assert (take(deep.getvalue()) == take(plain.getvalue())).all()


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


def test_detail_by_closed_form() -> None:
    """A slope of 3 grey levels a column and 4 a row, and a board of black and white."""
    y, x = np.mgrid[0:40, 0:20]
    slope = np.repeat((3 * x + 4 * y)[..., None], 3, axis=2).astype(np.uint8)
    assert detail(slope) == pytest.approx(5.0)
    board = np.repeat((255 * ((x + y) % 2))[..., None], 3, axis=2).astype(np.uint8)
    assert detail(board) == pytest.approx(255 * 2**0.5)
    assert detail(np.full((40, 20, 3), 90, np.uint8)) == 0.0


def test_sharp_crops_count_alike_and_noise_counts_for_little() -> None:
    assert 0 < weight_of(0.0) == weight_of(1.0) < 0.03
    assert weight_of(7.0) == pytest.approx(0.5)  # as much as noise of 3.5 levels has
    assert 0.85 < weight_of(18.0) < weight_of(35.0) < 1


def test_dark_blurred_and_tiny_crops_show_less() -> None:
    rng = np.random.default_rng(1)
    sharp = Image.fromarray(rng.integers(0, 256, (64, 32, 3), dtype=np.uint8))
    shown = detail(np.asarray(sharp))
    dark = np.asarray(sharp) // 20
    tiny = np.asarray(sharp.resize((4, 8)).resize(sharp.size))
    blurred = np.asarray(sharp.filter(ImageFilter.GaussianBlur(3)))
    assert all(detail(crop) < shown / 5 for crop in (dark, tiny, blurred))
