"""One batch of the embed stage: records read, decoded, embedded, and what is written of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from stgal_stream.extractor.crops import LEAST_DETAIL, BadCrop, decode_crop, detail, weight_of
from stgal_stream.extractor.onnx import OnnxExtractor
from stgal_stream.log.port import NewRecord, Partition, Record
from stgal_stream.settings import EmbedSettings, InputSettings, TopicSettings
from stgal_stream.types import Position, Reason, Vector
from stgal_stream.wire import dead_letter
from stgal_stream.wire.detection import decode
from stgal_stream.wire.embedding import EmbeddingRecord, encode
from stgal_stream.wire.fields import BadRecord, check_vector
from stgal_stream.wire.raw_detection import DetectionMessage


@dataclass(slots=True)
class Part:
    """One detection of a record: its message with pixels or a vector, or what is wrong with it.
    ``weight`` is what its crop counts in its tracklet."""

    message: DetectionMessage | None = None
    pixels: NDArray[np.uint8] | None = None
    weight: float = 1.0
    fault: BadRecord | None = None


@dataclass(slots=True)
class Item:
    """A record that is read: the detections in it. Of the record itself only the place, key and
    time are kept."""

    record: Record
    parts: list[Part]
    format: str | None = None
    n_others: int = 0
    epoch: int = 0
    extractor: OnnxExtractor | None = None

    @classmethod
    def read(cls, record: Record, inputs: InputSettings) -> tuple[float, Item]:
        """The record's event time and detections; crops in it are not decoded yet. What cannot be
        used has no time: minus infinity."""
        kept = replace(record, value=b"", headers=())
        try:
            found = decode(record, inputs)
        except BadRecord as fault:
            return float("-inf"), cls(kept, [Part(fault=fault)])
        parts = [Part(message) for message in found.messages]
        parts += [Part(fault=fault) for fault in found.faults]
        time_s = min((m.time_s for m in found.messages), default=float("-inf"))
        return time_s, cls(kept, parts, found.format, found.n_others)

    @property
    def heard(self) -> list[DetectionMessage]:
        """The detections that can be used."""
        return [p.message for p in self.parts if p.message is not None and p.fault is None]

    @property
    def has_pictures(self) -> bool:
        """Whether there is a crop to decode."""
        return any(p.message is not None and p.message.crop is not None for p in self.parts)

    @property
    def n_crops(self) -> int:
        """How many pictures wait for the network."""
        return sum(part.pixels is not None for part in self.parts)

    def prepare(self, extractor: OnnxExtractor | None, limits: EmbedSettings) -> None:
        """Decodes the crops, if there are any, for the partition's extractor (None for a partition
        that was lost: whoever has it now reads it again)."""
        if extractor is None:
            return
        for part in self.parts:
            if part.message is not None and part.message.crop is not None:
                self.extractor = extractor
                _decode(part, part.message.crop, extractor, limits)


def _decode(part: Part, crop: bytes, extractor: OnnxExtractor, limits: EmbedSettings) -> None:
    try:
        pixels = decode_crop(
            crop,
            extractor.form,
            max_bytes=limits.max_crop_bytes,
            max_pixels=limits.max_crop_pixels,
        )
        shown = detail(pixels)
        if shown < LEAST_DETAIL:
            raise BadCrop(f"nobody can be seen: pixels differ by {shown:.1f} grey levels")
        part.pixels, part.weight = pixels, weight_of(shown)
    except BadCrop as error:
        reason = Reason.IMAGE_TOO_LARGE if error.too_large else Reason.BAD_IMAGE
        part.fault = BadRecord(reason, str(error))


def embed(batch: Sequence[Item]) -> list[list[Vector | None]]:
    """A vector for every detection of the batch that can have one."""
    vectors = [
        [None if part.message is None else part.message.vector for part in item.parts]
        for item in batch
    ]
    by_extractor: dict[int, tuple[OnnxExtractor, list[tuple[int, int]]]] = {}
    for i, item in enumerate(batch):
        for k, part in enumerate(item.parts):
            if part.pixels is not None and item.extractor is not None:
                extractor = item.extractor
                by_extractor.setdefault(id(extractor), (extractor, []))[1].append((i, k))
    for extractor, places in by_extractor.values():
        crops = [pixels for i, k in places if (pixels := batch[i].parts[k].pixels) is not None]
        for (i, k), vector in zip(places, extractor.embed(np.stack(crops)), strict=True):
            vectors[i][k] = vector
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
    vectors: Sequence[Sequence[Vector | None]],
    held: Mapping[Partition, int],
    topics: TopicSettings,
) -> BatchOutputs:
    """Embeddings and dead letters of a batch. Items of a partition that is not ``held`` any more
    under the epoch in which they were read are left out: they are read again."""
    out = BatchOutputs()
    for item, of_item in zip(batch, vectors, strict=True):
        if held.get(item.record.partition) != item.epoch:
            continue
        out.done.append(item)
        out.offsets[item.record.partition] = item.record.offset + 1
        for part, vector in zip(item.parts, of_item, strict=True):
            try:
                if part.fault is not None:
                    raise part.fault
                assert part.message is not None
                assert vector is not None
                out.records.append(_embedding(item, part, check_vector(vector), topics))
                out.sources.append("network" if part.message.crop is not None else "upstream")
            except BadRecord as fault:
                out.refused.append(fault.reason)
                out.records.append(_dead_letter(item.record, part.message, fault, topics))
    return out


def _embedding(item: Item, part: Part, vector: Vector, topics: TopicSettings) -> NewRecord:
    message = part.message
    assert message is not None
    record, extractor, box = item.record, message.model, message.box
    if extractor is None:
        assert item.extractor is not None
        extractor = item.extractor.version
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
        weight=part.weight,
    )
    return NewRecord(topics.embeddings, message.site.encode(), encode(body))


def _dead_letter(
    record: Record, message: DetectionMessage | None, fault: BadRecord, topics: TopicSettings
) -> NewRecord:
    body = dead_letter.encode(
        fault.reason,
        fault.detail,
        Position(record.partition.topic, record.partition.number, record.offset),
        detection_id=message.id if message else None,
        camera=message.camera if message else None,
        site=message.site if message else None,
    )
    return NewRecord(topics.dead_letters, record.key, body)
