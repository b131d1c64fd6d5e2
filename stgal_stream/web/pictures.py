"""Crops of sightings by their place in the log, and features of pictures that somebody brings."""

from __future__ import annotations

import logging
import sqlite3
import threading
from pathlib import Path

from stgal_stream.errors import DataError, LogError, ModelError
from stgal_stream.extractor.crops import BadCrop, decode_crop
from stgal_stream.extractor.onnx import SHIPPED, OnnxExtractor
from stgal_stream.extractor.releases import Releases
from stgal_stream.extractor.trial import tried
from stgal_stream.log.port import Log, Partition
from stgal_stream.settings import Config
from stgal_stream.streaming.extractor_rollout.state import RolloutState
from stgal_stream.types import Vector
from stgal_stream.wire.detection import crop_in
from stgal_stream.wire.fields import BadRecord
from stgal_stream.wire.rollout import Promotion

logger = logging.getLogger(__name__)

# What a browser is told a picture is; nothing else is ever served from the log.
_KINDS = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n": "image/png", b"RIFF": "image/webp"}


class NoPictureError(Exception):
    """There is no picture, and why."""


class Crops:
    """Reads crops where they lie; nothing is copied."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def of(self, row: sqlite3.Row) -> tuple[bytes, str]:
        """The picture of a sighting (a row of the read model) and its media type.

        Raises:
            NoPictureError: it came without one, or the log has forgotten it.
        """
        if row["crop_topic"] is None:
            raise NoPictureError("its picture is older than personal data is kept")
        at = Partition(row["crop_topic"], row["crop_part"])
        try:
            found = self._log.read(at.topic, at.number, row["crop_offset"], 1)
            if not found or found[0].offset != row["crop_offset"]:
                raise NoPictureError("the log has forgotten it (by retention or run --no-crops)")
            picture = crop_in(found[0])
        except LogError as error:
            raise NoPictureError(f"the log cannot be read: {error}") from error
        except BadRecord as error:
            raise NoPictureError(error.detail) from error
        if picture is None:
            raise NoPictureError("the camera sent an embedding, no picture")
        for start, kind in _KINDS.items():
            if picture.startswith(start):
                return picture, kind
        raise NoPictureError("it is no JPEG, PNG or WebP")


class Embedder:
    """Embeds a picture by the extractor in use: the promoted release, or the configured model. It
    is loaded when first needed."""

    def __init__(self, log: Log, config: Config, releases: Path) -> None:
        self._log = log
        self._config = config
        self._releases = releases
        self._lock = threading.Lock()
        self._loaded: tuple[str | None, OnnxExtractor] | None = None

    def embed(self, picture: bytes) -> tuple[str, Vector]:
        """The extractor's version and the features (D,).

        Raises:
            NoPictureError: it cannot be decoded, or no extractor can be loaded.
        """
        settings = self._config.embed
        with self._lock:
            extractor = self._extractor()
            try:
                crop = decode_crop(
                    picture,
                    extractor.form,
                    max_bytes=settings.max_crop_bytes,
                    max_pixels=settings.max_crop_pixels,
                )
                features = extractor.embed(crop[None])[0]
            except (BadCrop, ModelError) as error:
                raise NoPictureError(str(error)) from error
        return extractor.version, features

    def _extractor(self) -> OnnxExtractor:
        state = RolloutState()
        try:
            state.read(self._log, self._config.topics.releases)
            promotion = state.in_use
            name = None if promotion is None else promotion.version
            if self._loaded is None or self._loaded[0] != name:
                self._loaded = name, self._load(promotion)
        except (LogError, ModelError, DataError) as error:
            raise NoPictureError(f"the extractor cannot be loaded: {error}") from error
        return self._loaded[1]

    def _load(self, promotion: Promotion | None) -> OnnxExtractor:
        configured = self._config.embed.model
        path = Path(configured) if configured else SHIPPED
        if promotion is not None:
            releases = Releases(self._releases).holding(promotion)
            path = releases.model(promotion.version)
            tried(path, {"preset": self._config.embed.preset}, **self._config.embed.limits)
        return OnnxExtractor(path, threads=1, preset=self._config.embed.preset)
