"""What the embeddings topic knows of tracklets: where each one's other crops lie, and how the
extractor in use sees it.

Law: no number is computed twice. A detection that the wanted extractor has embedded is in the
log; only what it has not seen must be embedded again.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np
from numpy.typing import NDArray

from stgal_stream.types import Position
from stgal_stream.wire import embedding
from stgal_stream.wire.fields import BadRecord, check_vector

Name = tuple[str, str]


class LoggedEmbeddings:
    """Of tracklets, each given as its site and its detections' ids: the place of each detection's
    crop, and the mean over what one extractor (by its version) has embedded in ``dim`` numbers."""

    def __init__(
        self, tracklets: Iterable[tuple[str, tuple[str, ...]]], version: str, dim: int
    ) -> None:
        self.places: dict[Name, Position] = {}
        self._version, self._dim = version, dim
        self._row = {
            (site, name): row for row, (site, names) in enumerate(tracklets) for name in names
        }
        self._sums: dict[int, NDArray[np.float32]] = {}
        self._counts: dict[int, int] = {}

    def take(self, values: Iterable[bytes]) -> None:
        """Notes what is said of the tracklets in the topic's records."""
        for value in values:
            try:
                record = embedding.decode(value)
            except (msgspec.MsgspecError, ValueError):
                continue  # the associate stage has refused it, aloud
            if not isinstance(record, embedding.EmbeddingRecord | embedding.ReembeddedRecord):
                continue
            row = self._row.get((record.site, record.id))
            if row is None:
                continue
            if isinstance(record, embedding.EmbeddingRecord) and record.position is not None:
                self.places[record.site, record.id] = Position(*record.position)
            if record.extractor == self._version:
                self._add(row, record)

    def means(self) -> dict[int, NDArray[np.float32]]:
        """By the tracklet's number: the mean embedding (D,)."""
        return {row: total / np.float32(self._counts[row]) for row, total in self._sums.items()}

    def _add(
        self, row: int, record: embedding.EmbeddingRecord | embedding.ReembeddedRecord
    ) -> None:
        try:
            vector = check_vector(embedding.as_vector(record))
        except (BadRecord, ValueError):
            return
        if len(vector) == self._dim:
            self._sums[row] = self._sums.get(row, np.float32(0)) + vector
            self._counts[row] = self._counts.get(row, 0) + 1
