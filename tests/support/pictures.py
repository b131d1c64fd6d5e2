"""Pixels as the pictures that decode to them."""

from __future__ import annotations

import io
from collections.abc import Iterable

import numpy as np
from PIL import Image

from stgal_stream.extractor.encoded_crops import EncodedCrops


def png(pixels: np.ndarray) -> bytes:
    picture = io.BytesIO()
    Image.fromarray(pixels).save(picture, "PNG", compress_level=1)
    return picture.getvalue()


def encoded(crops: Iterable[np.ndarray]) -> EncodedCrops:
    """Of each sighting its crops (K, H, W, 3)."""
    return EncodedCrops([[png(crop) for crop in some] for some in crops])
