"""Encoded crops -> the numbers that a network takes. The one preprocessing of the project.

Sizes are checked against the header before a pixel is decoded, so a decompression bomb costs
nothing.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_FORMATS = ("JPEG", "PNG", "WEBP")


class BadCrop(Exception):
    """A crop that cannot be used; ``too_large`` tells a bomb from a broken file."""

    def __init__(self, message: str, *, too_large: bool = False) -> None:
        super().__init__(message)
        self.too_large = too_large


@dataclass(frozen=True, slots=True)
class CropFormat:
    """What a network wants: size in pixels, RGB mean and standard deviation of 0..1 values."""

    height_px: int
    width_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def affine(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What a colour (3,) is multiplied by and what is then taken away from it."""
        std = np.asarray(self.std, dtype=np.float32)
        return np.float32(1.0 / 255.0) / std, np.asarray(self.mean, dtype=np.float32) / std

    def normalise(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, H, W, 3) uint8 RGB -> (N, 3, H, W) float32."""
        scale, shift = self.affine
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
        picture.draft("RGB", (2 * form.width_px, 2 * form.height_px))
        rgb = picture.convert("RGB")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadCrop(str(error), too_large=True) from error
    except BadCrop:
        raise
    except Exception as error:  # hostile files make decoders raise nearly anything
        raise BadCrop(f"not a readable image: {type(error).__name__}") from error
    resized = rgb.resize((form.width_px, form.height_px), Image.Resampling.BILINEAR)
    return np.asarray(resized)
