"""``stgal.embedding.v1``: what the embed stage hands to the associate stage (MessagePack).

Two kinds of record share the topic, keyed by site: embeddings and ticks (event time went on
without a detection).
"""

from __future__ import annotations

import msgspec
import numpy as np

from stgal_stream.types import Box, Detection, Position


class EmbeddingRecord(msgspec.Struct, tag="embedding", array_like=True):
    """One embedded detection; ``vector`` is little-endian float32."""

    site: str
    id: str
    camera: str
    time_s: float
    extractor: str
    vector: bytes
    track_id: str | None
    box: tuple[float, float, float, float] | None
    confidence: float | None
    position: tuple[str, int, int] | None
    append_time_s: float


class TickRecord(msgspec.Struct, tag="tick", array_like=True):
    """Event time of a site has come to ``time_s``."""

    site: str
    time_s: float


_DECODER = msgspec.msgpack.Decoder(EmbeddingRecord | TickRecord)
_ENCODER = msgspec.msgpack.Encoder()


def encode(record: EmbeddingRecord | TickRecord) -> bytes:
    """The record as MessagePack."""
    return _ENCODER.encode(record)


def decode(value: bytes) -> EmbeddingRecord | TickRecord:
    """What ``encode`` made.

    Raises:
        msgspec.MsgspecError: it is something else.
    """
    record: EmbeddingRecord | TickRecord = _DECODER.decode(value)
    return record


def as_detection(record: EmbeddingRecord) -> Detection:
    """The detection as the tracker takes it."""
    return Detection(
        id=record.id,
        camera=record.camera,
        time_s=record.time_s,
        embedding=np.frombuffer(record.vector, dtype="<f4").astype(np.float32),
        extractor=record.extractor,
        track_id=record.track_id,
        box=None if record.box is None else Box(*record.box),
        confidence=record.confidence,
        position=None if record.position is None else Position(*record.position),
    )
