"""``stgal.embedding.v1``: what the embed stage hands to the associate stage (MessagePack).

Six kinds of record share the topic. Embeddings, ticks (event time went on without a detection),
detections of the window embedded again, operators' corrections and erasures are keyed by site; a
switch marker goes to every partition.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from stgal_stream.types import Box, Detection, Position, Vector, Verdict

MAX_NAMED = 1000  # sightings on one side of a correction
_Named = Annotated[
    tuple[Annotated[str, Meta(max_length=512)], ...], Meta(min_length=1, max_length=MAX_NAMED)
]
# Numbers that a tracker can go on with, whoever wrote them to the topic.
_Time = Annotated[float, Meta(ge=0, le=7_258_118_400)]  # to 2200
_Pixel = Annotated[float, Meta(ge=-65_536, le=65_536)]
_Weight = Annotated[float, Meta(ge=0, le=1)]
_Partitions = Annotated[int, Meta(ge=1, le=100_000)]


class EmbeddingRecord(msgspec.Struct, tag="embedding", array_like=True):
    """One embedded detection; ``vector`` is little-endian float32, ``weight`` what its crop counts
    in its tracklet."""

    site: str
    id: str
    camera: str
    time_s: _Time
    extractor: str
    vector: bytes
    track_id: str | None
    box: tuple[_Pixel, _Pixel, _Pixel, _Pixel] | None
    confidence: float | None
    position: tuple[str, int, int] | None
    append_time_s: float
    weight: _Weight = 1.0


class TickRecord(msgspec.Struct, tag="tick", array_like=True):
    """Event time of a site has come to ``time_s``; or, at the end of a stream, to where nothing
    waits for it any more."""

    site: str
    time_s: _Time
    is_end: bool = False


class ReembeddedRecord(msgspec.Struct, tag="reembedded", array_like=True):
    """A detection of the window as another extractor sees it; ``vector`` as above."""

    site: str
    id: str
    extractor: str
    vector: bytes
    weight: _Weight = 1.0


class SwitchRecord(msgspec.Struct, tag="switch", array_like=True):
    """From here on ``partitions`` of the detections are embedded by ``after`` and no more by
    ``before``; there are ``n_partitions`` in all, and the site follows once all have switched."""

    before: str
    after: str
    partitions: tuple[int, ...]
    n_partitions: _Partitions


class CorrectionRecord(msgspec.Struct, tag="correction", array_like=True):
    """An operator's word on who is who, as in ``OperatorCorrection``."""

    site: str
    id: Annotated[str, Meta(min_length=1, max_length=64)]
    verdict: Verdict
    first: _Named
    second: _Named
    by: Annotated[str, Meta(max_length=200)]
    said_s: _Time


class ErasureRecord(msgspec.Struct, tag="erasure", array_like=True):
    """One person is to be forgotten, as in ``Erasure``."""

    site: str
    identities: tuple[str, ...]
    detections: tuple[str, ...]


EmbeddingsRecord = (
    EmbeddingRecord
    | TickRecord
    | ReembeddedRecord
    | SwitchRecord
    | CorrectionRecord
    | ErasureRecord
)
_DECODER = msgspec.msgpack.Decoder(EmbeddingsRecord)
_ENCODER = msgspec.msgpack.Encoder()


def encode(record: EmbeddingsRecord) -> bytes:
    """The record as MessagePack."""
    return _ENCODER.encode(record)


def decode(value: bytes) -> EmbeddingsRecord:
    """What ``encode`` made.

    Raises:
        msgspec.MsgspecError: it is something else.
    """
    record: EmbeddingsRecord = _DECODER.decode(value)
    return record


def as_vector(record: EmbeddingRecord | ReembeddedRecord) -> Vector:
    """The record's vector, (D,).

    Raises:
        ValueError: its bytes are no float32 numbers.
    """
    return np.frombuffer(record.vector, dtype="<f4").astype(np.float32)


def as_detection(record: EmbeddingRecord) -> Detection:
    """The detection as the tracker takes it."""
    return Detection(
        id=record.id,
        camera=record.camera,
        time_s=record.time_s,
        embedding=as_vector(record),
        extractor=record.extractor,
        track_id=record.track_id,
        box=None if record.box is None else Box(*record.box),
        confidence=record.confidence,
        position=None if record.position is None else Position(*record.position),
        weight=record.weight,
    )
