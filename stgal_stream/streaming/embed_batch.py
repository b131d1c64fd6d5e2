"""One batch of the embed stage: records read, decoded, embedded, and what is written of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from stgal_stream.extractor.crops import BadCrop, decode_crop
from stgal_stream.extractor.onnx import OnnxExtractor
from stgal_stream.log.port import NewRecord, Partition, Record
from stgal_stream.settings import EmbedSettings, TopicSettings
from stgal_stream.types import Position, Reason, Vector
from stgal_stream.wire import dead_letter
from stgal_stream.wire.detection import DetectionMessage, decode
from stgal_stream.wire.embedding import EmbeddingRecord, encode
from stgal_stream.wire.fields import BadRecord, check_vector


@dataclass(slots=True)
class Item:
    """A record that is read: a message with pixels or a vector, or what is wrong with it. Of the
    record itself only the place, key and time are kept."""

    record: Record
    message: DetectionMessage | None = None
    pixels: NDArray[np.uint8] | None = None
    fault: BadRecord | None = None
    epoch: int = 0
    extractor: OnnxExtractor | None = None

    @classmethod
    def read(cls, record: Record, limits: EmbedSettings) -> tuple[float, Item]:
        """The record's event time and message; a crop in it is not decoded yet. What cannot be used
        has no time: minus infinity."""
        kept = replace(record, value=b"", headers=())
        try:
            message = decode(record, limits)
        except BadRecord as fault:
            return float("-inf"), cls(kept, fault=fault)
        return message.time_s, cls(kept, message)

    def prepare(self, extractor: OnnxExtractor | None, limits: EmbedSettings) -> Item:
        """Decodes the crop, if there is one, for its partition's extractor (None for a partition
        that was lost: whoever has it now reads it again)."""
        if self.message is None or self.message.crop is None or extractor is None:
            return self
        self.extractor = extractor
        try:
            self.pixels = decode_crop(
                self.message.crop,
                extractor.form,
                max_bytes=limits.max_crop_bytes,
                max_pixels=limits.max_crop_pixels,
            )
        except BadCrop as error:
            reason = Reason.IMAGE_TOO_LARGE if error.too_large else Reason.BAD_IMAGE
            self.fault = BadRecord(reason, str(error))
        return self


def embed(batch: Sequence[Item]) -> list[Vector | None]:
    """A vector for every item of the batch that can have one."""
    vectors = [None if item.message is None else item.message.vector for item in batch]
    by_extractor: dict[int, tuple[OnnxExtractor, list[int]]] = {}
    for i, item in enumerate(batch):
        if item.pixels is not None and item.extractor is not None:
            by_extractor.setdefault(id(item.extractor), (item.extractor, []))[1].append(i)
    for extractor, rows in by_extractor.values():
        crops = np.stack([pixels for i in rows if (pixels := batch[i].pixels) is not None])
        for i, vector in zip(rows, extractor.embed(crops), strict=True):
            vectors[i] = vector
    return vectors


@dataclass(slots=True)
class BatchOutputs:
    """What is written of a batch, and for the metrics: the items done, where each embedding came
    from, and the reasons of refused records."""

    records: list[NewRecord] = field(default_factory=list)
    offsets: dict[Partition, int] = field(default_factory=dict)
    done: list[Item] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    refused: list[Reason] = field(default_factory=list)


def outputs_of(
    batch: Sequence[Item],
    vectors: Sequence[Vector | None],
    held: Mapping[Partition, int],
    topics: TopicSettings,
) -> BatchOutputs:
    """Embeddings and dead letters of a batch. Items of a partition that is not ``held`` any more
    under the epoch in which they were read are left out: they are read again."""
    out = BatchOutputs()
    for item, vector in zip(batch, vectors, strict=True):
        if held.get(item.record.partition) != item.epoch:
            continue
        out.done.append(item)
        out.offsets[item.record.partition] = item.record.offset + 1
        try:
            if item.fault is not None:
                raise item.fault
            assert item.message is not None
            assert vector is not None
            out.records.append(_embedding(item, check_vector(vector), topics))
            out.sources.append("network" if item.message.crop is not None else "upstream")
        except BadRecord as fault:
            out.refused.append(fault.reason)
            out.records.append(_dead_letter(item, fault, topics))
    return out


def _embedding(item: Item, vector: Vector, topics: TopicSettings) -> NewRecord:
    message, record = item.message, item.record
    assert message is not None
    extractor = message.model
    if extractor is None:
        assert item.extractor is not None
        extractor = item.extractor.version
    box = message.box
    body = EmbeddingRecord(
        site=message.site,
        id=message.id,
        camera=message.camera,
        time_s=message.time_s,
        extractor=extractor,
        vector=vector.astype("<f4").tobytes(),
        track_id=message.track_id,
        box=None if box is None else (box.left_px, box.top_px, box.right_px, box.bottom_px),
        confidence=message.confidence,
        position=(record.partition.topic, record.partition.number, record.offset),
        append_time_s=record.append_time_s,
    )
    return NewRecord(topics.embeddings, message.site.encode(), encode(body))


def _dead_letter(item: Item, fault: BadRecord, topics: TopicSettings) -> NewRecord:
    record, message = item.record, item.message
    body = dead_letter.encode(
        fault.reason,
        fault.detail,
        Position(record.partition.topic, record.partition.number, record.offset),
        detection_id=message.id if message else None,
        camera=message.camera if message else None,
        site=message.site if message else None,
    )
    return NewRecord(topics.dead_letters, record.key, body)
