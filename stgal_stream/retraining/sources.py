"""Where the pseudo-pairs and their crops come from: a log, or files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from stgal_stream.config import TopicsSection
from stgal_stream.errors import DataError
from stgal_stream.extractor.crops import BadCrop, CropFormat
from stgal_stream.extractor.onnx import OnnxExtractor
from stgal_stream.log.port import Log, NewRecord
from stgal_stream.retraining.encoded_crops import MAX_BYTES, pixels_of
from stgal_stream.retraining.pseudo_pairs import (
    Sighting,
    StreamData,
    ends,
    newest,
    paired,
    read_stream,
)
from stgal_stream.wire.detection import BadRecord, parse_time_s
from stgal_stream.wire.rollout import RolloutRecord, encode

Until = dict[str, list[int]]
OnProgress = Callable[[int, int], None]
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", "")


class Source(Protocol):
    """What a retraining reads, and whom it tells."""

    def until(self) -> Until:
        """How far the source is now; a resumed run reads as far again."""

    def read(
        self, until: Until, extractor: OnnxExtractor, most: int, on_progress: OnProgress
    ) -> StreamData:
        """The newest ``most`` sightings that can be used for training an extractor."""

    def tell(self, records: Sequence[RolloutRecord]) -> None:
        """What came of it."""


class LogSource:
    """A daemon's own outputs, and the crops by offset."""

    def __init__(self, log: Log, topics: TopicsSection) -> None:
        self._log = log
        self._topics = topics

    def until(self) -> Until:
        """The ends of the topics that are read."""
        topics = self._topics
        return ends(self._log, [topics.identities, topics.associations, topics.embeddings])

    def read(
        self, until: Until, extractor: OnnxExtractor, most: int, on_progress: OnProgress
    ) -> StreamData:
        """The newest sightings before ``until``."""
        topics = self._topics
        names = topics.identities, topics.associations, topics.embeddings
        return read_stream(self._log, *names, until, extractor, most, on_progress)

    def tell(self, records: Sequence[RolloutRecord]) -> None:
        """Daemons promote and publish from the log."""
        topic = self._topics.releases
        self._log.append([NewRecord(topic, b"rollout", encode(record)) for record in records])


class FileSource:
    """Association events (JSON, one a line, as the associations topic and ``run --associations``
    have them) and a folder of crops named by the detection's id."""

    def __init__(self, pairs: Path, crops: Path) -> None:
        self._pairs = pairs
        self._crops = crops

    def until(self) -> Until:
        """A file is read whole."""
        return {}

    def read(
        self, until: Until, extractor: OnnxExtractor, most: int, on_progress: OnProgress
    ) -> StreamData:
        """The newest sightings that are in a pair and whose crops are there.

        Raises:
            DataError: the file cannot be read or holds something else.
        """
        left_out: Counter[str] = Counter()
        seen: dict[tuple[str, str], Sighting] = {}
        for event in self._events():
            for side in ("query", "gallery"):
                found = _sighting(event, side)
                seen[found.site, found.id] = found
        ordered = newest(seen.values(), most, left_out)
        crops: list[list[bytes]] = []
        for done, sighting in enumerate(ordered):
            crop = self._crop(sighting.id, extractor.form, left_out)
            crops.append([] if crop is None else [crop])
            on_progress(done + 1, len(ordered))
        return paired(ordered, crops, self._events(), left_out)

    def tell(self, records: Sequence[RolloutRecord]) -> None:
        """Nobody listens: there is no log."""

    def _events(self) -> Iterator[dict[str, Any]]:
        try:
            with self._pairs.open(encoding="utf-8") as lines:
                for number, line in enumerate(lines, 1):
                    if line.strip():
                        yield _event(line, f"{self._pairs}, line {number}")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{self._pairs} cannot be read: {error}") from error

    def _crop(self, name: str, form: CropFormat, left_out: Counter[str]) -> bytes | None:
        if "/" in name:  # an id is a name here, not a way out of the folder
            left_out["unreadable"] += 1
            return None
        paths = [self._crops / f"{name}{suffix}" for suffix in _SUFFIXES]
        path = next((p for p in paths if p.is_file()), None)
        if path is None:
            left_out["no_crop_in_the_folder"] += 1
            return None
        try:
            if path.stat().st_size > MAX_BYTES:
                raise BadCrop("too many bytes", too_large=True)
            picture = path.read_bytes()
            pixels_of(picture, form)
            return picture
        except (OSError, BadCrop):
            left_out["unreadable"] += 1
            return None


def _event(line: str, where: str) -> dict[str, Any]:
    """A line as an association event: what is used of it is there."""
    try:
        event: dict[str, Any] = json.loads(line)
        for side in ("query", "gallery"):
            _sighting(event, side)
        float(event["evidence"]["logOdds"])
        _ = event["type"], event["pairId"]
    except (ValueError, KeyError, TypeError, BadRecord) as error:
        raise DataError(
            f"{where}: no association event ({error})",
            hint="stgal-stream run --from … --associations FILE writes such a file",
        ) from error
    return event


def _sighting(event: dict[str, Any], side: str) -> Sighting:
    body = event[side]
    return Sighting(
        str(body["id"]),
        str(event["site"]),
        str(body["sensorId"]),
        parse_time_s(body["start"]),
        parse_time_s(body["end"]),
        None,
    )
