"""Crops by their places in the log: the detections topic is their only archive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import takewhile

from stgal_stream.extractor.crops import BadCrop, CropFormat
from stgal_stream.extractor.encoded_crops import pixels_of
from stgal_stream.log.port import Log, Record
from stgal_stream.types import Position
from stgal_stream.wire.detection import crop_in
from stgal_stream.wire.fields import BadRecord

_N_CROPS = 200
_N_DECODERS = 4


def read_crops(
    log: Log,
    wanted: list[Position],
    form: CropFormat,
    left_out: Counter[str],
    on_progress: Callable[[int, int], None],
) -> dict[Position, bytes]:
    """The pictures that are still there and can be decoded, read in the log's order, many at a
    time, tried in threads."""
    found: dict[Position, bytes] = {}
    ordered = sorted(set(wanted), key=lambda at: (at.topic, at.partition, at.offset))
    done = 0
    with ThreadPoolExecutor(_N_DECODERS) as pool:
        while done < len(ordered):
            chunk, records = _next_chunk(log, ordered[done : done + _N_CROPS])
            tried = pool.map(partial(_tried, form), (records.get(at.offset) for at in chunk))
            for at, crop in zip(chunk, tried, strict=True):
                if isinstance(crop, str):
                    left_out[crop] += 1
                else:
                    found[at] = crop
            done += len(chunk)
            on_progress(done, len(ordered))
    return found


def _next_chunk(log: Log, wanted: list[Position]) -> tuple[list[Position], dict[int, Record]]:
    """The first of the places that lie in one read of the log, and what it holds by offset."""
    first = wanted[0]
    read = log.read(first.topic, first.partition, first.offset, _N_CROPS)
    records = {record.offset: record for record in read}
    last = max(records, default=first.offset)
    chunk = takewhile(
        lambda at: (
            (at.topic, at.partition) == (first.topic, first.partition)
            and at.offset <= max(last, first.offset)
        ),
        wanted,
    )
    return list(chunk), records


def _tried(form: CropFormat, record: Record | None) -> bytes | str:
    """The picture, or why there is none."""
    if record is None:
        return "out_of_retention"
    try:
        crop = crop_in(record)
        if crop is None:
            return "embedded_upstream"
        pixels_of(crop, form)
        return crop
    except (BadRecord, BadCrop):
        return "unreadable"
