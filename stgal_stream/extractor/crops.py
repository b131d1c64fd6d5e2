"""Encoded crops -> the numbers that a network takes. The one preprocessing of the project.

Sizes are checked against the header before a pixel is decoded, so a decompression bomb costs
nothing.
"""

from __future__ import annotations

import io
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_LEAST_PX, _MOST_PX = 8, 2048
_INTERPOLATIONS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
LEAST_DETAIL = 1.0  # grey levels: less is the encoder's rounding, and shows nobody
# Grey levels of sensor and encoder. From 2.5 to 5 the gains of tools/measure_crop_quality.py stay.
_NOISE = 3.5
_FORMATS = ("JPEG", "PNG", "WEBP")
_ORIENTATION = 0x0112  # the tag of EXIF 2.32, 4.6.4
# What makes a picture upright that was stored under each orientation but the first, which is.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_UPRIGHT = (_TURNS[2], _TURNS[3], _TURNS[4])


class BadCrop(Exception):
    """A crop that cannot be used; ``too_large`` tells a bomb from a broken file."""

    def __init__(self, message: str, *, too_large: bool = False) -> None:
        super().__init__(message)
        self.too_large = too_large


@dataclass(frozen=True, slots=True)
class CropFormat:
    """What a network wants: size in pixels, mean and standard deviation of 0..1 values, the order
    of colours (``rgb`` or ``bgr``; mean and std are in that order), and how crops are resized."""

    height_px: int
    width_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    colour: str = "rgb"
    interpolation: str = "bilinear"

    @property
    def is_possible(self) -> bool:
        """Whether a network can want that: a size that shows somebody, and a scale."""
        sides = self.height_px, self.width_px
        return min(sides) >= _LEAST_PX and max(sides) <= _MOST_PX and min(self.std) > 0

    @property
    def affine(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What a colour (3,) is multiplied by and what is then taken away from it."""
        std = np.asarray(self.std, dtype=np.float32)
        return np.float32(1.0 / 255.0) / std, np.asarray(self.mean, dtype=np.float32) / std

    def normalise(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, H, W, 3) uint8 RGB -> (N, 3, H, W) float32."""
        scale, shift = self.affine
        if self.colour == "bgr":
            pixels = pixels[..., ::-1]
        planes = pixels.transpose(0, 3, 1, 2).astype(np.float32)
        planes *= scale[None, :, None, None]
        planes -= shift[None, :, None, None]
        return planes


def decode_crop(
    data: bytes, form: CropFormat, *, max_bytes: int, max_pixels: int
) -> NDArray[np.uint8]:
    """One encoded crop at the network's size, (H, W, 3) uint8 RGB.

    Raises:
        BadCrop: too large, of another format, or broken.
    """
    if len(data) > max_bytes:
        raise BadCrop(f"{len(data)} bytes, at most {max_bytes} are allowed", too_large=True)
    try:
        picture = Image.open(io.BytesIO(data), formats=_FORMATS)
        wide, high = picture.size
        if wide * high > max_pixels:
            detail = f"{wide} x {high} pixels, at most {max_pixels} are allowed"
            raise BadCrop(detail, too_large=True)
        if min(wide, high) < 2:
            raise BadCrop(f"{wide} x {high} pixels show nobody")
        turn = _TURNS.get(_orientation(picture))
        wanted = 2 * form.width_px, 2 * form.height_px
        is_sideways = turn is not None and turn not in _UPRIGHT
        picture.draft("RGB", wanted[::-1] if is_sideways else wanted)
        rgb = _to_8_bits(picture).convert("RGB")
        if turn is not None:
            rgb = rgb.transpose(turn)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadCrop(str(error), too_large=True) from error
    except BadCrop:
        raise
    except Exception as error:  # hostile files make decoders raise nearly anything
        raise BadCrop(f"not a readable image: {type(error).__name__}") from error
    how = _INTERPOLATIONS[form.interpolation]
    resized = rgb.resize((form.width_px, form.height_px), how)
    return np.asarray(resized)


def detail(pixels: NDArray[np.uint8]) -> float:
    """How much a crop (H, W, 3) shows: the root mean square of the differences between neighbouring
    pixels, in grey levels of the green that makes up most of light. Dark, blurred and tiny crops
    have little; of one person in one camera it tells good crops from bad ones."""
    green = pixels[..., 1].astype(np.float32)
    across, down = (green[:, 1:] - green[:, :-1]).ravel(), (green[1:] - green[:-1]).ravel()
    return float(np.sqrt(across @ across / across.size + down @ down / down.size))


def weight_of(shown: float) -> float:
    """What a crop of so much detail counts in its tracklet, 0 to 1: the share of what it shows that
    is no noise, as in Wiener's filter. Sharp crops count nearly alike, whatever clothes they show.
    """
    energy = max(shown, LEAST_DETAIL) ** 2
    return energy / (energy + 4.0 * _NOISE**2)


def _orientation(picture: Image.Image) -> int:
    """The camera's EXIF orientation; 1 (as stored) where there is none that can be read."""
    if "exif" not in picture.info:
        return 1
    with suppress(Exception):  # hostile EXIF makes parsers raise nearly anything
        return int(picture.getexif().get(_ORIENTATION, 1))
    return 1


def _to_8_bits(picture: Image.Image) -> Image.Image:
    """16-bit grey by its upper 8 bits; Pillow's own conversion makes all of it white."""
    if not picture.mode.startswith("I"):
        return picture
    values = np.asarray(picture).astype(np.uint32)
    return Image.fromarray(np.clip(values >> 8, 0, 255).astype(np.uint8))
