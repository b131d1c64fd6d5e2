"""The window of one partition of the detections, embedded again by another extractor.

It reads from the oldest detection that a site's window can still hold up to where the partition is,
a bit at a time, so that detections that come meanwhile need not wait. What is written twice after a
crash is used once, by its id.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stgal_stream.extractor.crops import BadCrop, CropFormat, decode_crop, detail, weight_of
from stgal_stream.log.port import Log, Partition, Record
from stgal_stream.settings import Config, InputSettings
from stgal_stream.wire.detection import decode
from stgal_stream.wire.embedding import ReembeddedRecord
from stgal_stream.wire.fields import BadRecord, check_vector
from stgal_stream.wire.raw_detection import DetectionMessage

_CHUNK = 500  # records looked back over at a time
_AHEAD = 256  # records read at a time: their crops are held encoded


@dataclass(frozen=True, slots=True)
class OldCrop:
    """A detection of the window and its pixels at the new extractor's size, (H, W, 3) uint8."""

    message: DetectionMessage
    pixels: NDArray[np.uint8]


class WindowReader:
    """The detections of one partition's window in order, decoded for another extractor."""

    def __init__(
        self,
        log: Log,
        partition: Partition,
        next_offset: int,
        form: CropFormat,
        config: Config,
    ) -> None:
        self.next_offset = next_offset
        self._log = log
        self._partition = partition
        self._form = form
        self._config = config
        self._ahead: deque[Record] = deque()

    def take(self, n: int, until: int) -> list[OldCrop]:
        """What the next ``n`` records before offset ``until`` show. Records
        without a usable crop are dead letters already, or were embedded upstream."""
        if not self._ahead:
            at = self._partition
            self._ahead.extend(self._log.read(at.topic, at.number, self.next_offset, _AHEAD))
        records: list[Record] = []
        while self._ahead and len(records) < n and self._ahead[0].offset < until:
            records.append(self._ahead.popleft())
        self.next_offset = records[-1].offset + 1 if records else until
        messages = (m for record in records for m in readable(record, self._config.input))
        found = (self._crop(message) for message in messages)
        return [crop for crop in found if crop is not None]

    def _crop(self, message: DetectionMessage) -> OldCrop | None:
        if message.crop is None:
            return None
        limits = self._config.embed
        try:
            pixels = decode_crop(
                message.crop,
                self._form,
                max_bytes=limits.max_crop_bytes,
                max_pixels=limits.max_crop_pixels,
            )
        except BadCrop:
            return None
        return OldCrop(message, pixels)


def window_start(
    log: Log,
    partition: Partition,
    reach: tuple[int, int],
    window_s: float,
    inputs: InputSettings,
) -> int:
    """The offset from which on a partition can hold detections of a site's window, looking back
    over the offsets ``reach``. Each camera's records count by its own clock."""
    newest: dict[tuple[str, str], float] = {}
    beginning, start = reach
    while start > beginning:
        first = max(beginning, start - _CHUNK)
        records = log.read(partition.topic, partition.number, first, _CHUNK)
        times = [
            ((message.site, message.camera), message.time_s)
            for record in records
            if record.offset < start
            for message in readable(record, inputs)
        ]
        for camera, time_s in times:
            newest[camera] = max(newest.get(camera, -math.inf), time_s)
        start = first
        if times and all(time_s < newest[camera] - window_s for camera, time_s in times):
            break
    return start


def readable(record: Record, inputs: InputSettings) -> tuple[DetectionMessage, ...]:
    """The record's detections, none where it is a dead letter."""
    try:
        return decode(record, inputs).messages
    except BadRecord:
        return ()


def reembedded(
    crop: OldCrop, extractor: str, vector: NDArray[np.float32]
) -> ReembeddedRecord | None:
    """What goes into the log; None for a vector that nothing can be compared with."""
    try:
        checked = check_vector(vector)
    except BadRecord:
        return None
    message = crop.message
    vector_bytes = checked.astype("<f4").tobytes()
    weight = weight_of(detail(crop.pixels))
    return ReembeddedRecord(message.site, message.id, extractor, vector_bytes, weight)
