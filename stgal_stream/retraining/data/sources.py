"""Where the pseudo-pairs and their crops come from: a log, or files."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from stgal_stream.errors import DataError
from stgal_stream.extractor.crops import BadCrop, CropFormat
from stgal_stream.extractor.encoded_crops import MAX_BYTES, pixels_of
from stgal_stream.extractor.onnx import OnnxExtractor
from stgal_stream.log.port import Log, NewRecord
from stgal_stream.log.reading import values
from stgal_stream.retraining.data.pseudo_pairs import StreamData, ends, newest, paired, read_stream
from stgal_stream.retraining.data.stream_events import (
    UNREADABLE,
    Accepted,
    AssociationEvent,
    Sighting,
    association_of,
)
from stgal_stream.settings import TopicSettings
from stgal_stream.wire.rollout import Retrained, RolloutRecord, decode, encode

Until = dict[str, list[int]]
OnProgress = Callable[[int, int], None]
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", "")


class Source(Protocol):
    """What a retraining reads, and whom it tells."""

    @property
    def identity(self) -> str:
        """Tells this source from others: a checkpoint of one is worthless for another."""

    def until(self) -> Until:
        """How far the source is now; a resumed run reads as far again."""

    def read(
        self, until: Until, extractor: OnnxExtractor, most: int, on_progress: OnProgress
    ) -> StreamData:
        """The newest ``most`` sightings that can be used for training an extractor."""

    def tell(self, records: Sequence[RolloutRecord]) -> None:
        """What came of it."""

    def knows(self, version: str) -> bool:
        """Whether it was told of this release before."""


class LogSource:
    """A daemon's own outputs, and the crops by offset."""

    def __init__(self, log: Log, topics: TopicSettings) -> None:
        self._log = log
        self._topics = topics

    @property
    def identity(self) -> str:
        """The log's."""
        return self._log.identity

    def until(self) -> Until:
        """The ends of the topics that are read."""
        topics = self._topics
        return ends(self._log, [topics.identities, topics.associations, topics.embeddings])

    def read(
        self,
        until: Until,
        extractor: OnnxExtractor,
        most: int,
        on_progress: OnProgress = lambda done, total: None,
    ) -> StreamData:
        """The newest sightings before ``until``."""
        topics = self._topics
        names = topics.identities, topics.associations, topics.embeddings
        return read_stream(self._log, *names, until, extractor, most, on_progress)

    def tell(self, records: Sequence[RolloutRecord]) -> None:
        """Daemons promote and publish from the log."""
        topic = self._topics.releases
        self._log.append([NewRecord(topic, b"rollout", encode(record)) for record in records])

    def knows(self, version: str) -> bool:
        """Whether a retraining that made this release has said so."""
        for value in values(self._log, self._topics.releases):
            with suppress(ValueError):
                said = decode(value)
                if isinstance(said, Retrained) and said.version == version:
                    return True
        return False


class FileSource:
    """Association events (JSON, one a line, as the associations topic and ``run --associations``
    have them) and a folder of crops named by the detection's id."""

    def __init__(self, pairs: Path, crops: Path) -> None:
        self._pairs = pairs
        self._crops = crops

    @property
    def identity(self) -> str:
        """What the file holds."""
        try:
            with self._pairs.open("rb") as content:
                return hashlib.file_digest(content, "sha256").hexdigest()
        except OSError as error:
            raise DataError(f"{self._pairs} cannot be read: {error.strerror}") from error

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
        for event in self._events(left_out):
            for found in event.sightings() if isinstance(event, Accepted) else ():
                seen[found.site, found.id] = found
        ordered = newest(seen.values(), most, left_out)
        crops: list[list[bytes]] = []
        for done, sighting in enumerate(ordered):
            crop = self._crop(sighting.id, extractor.form, left_out)
            crops.append([] if crop is None else [crop])
            on_progress(done + 1, len(ordered))
        return paired(ordered, crops, self._events(Counter()), left_out)

    def tell(self, records: Sequence[RolloutRecord]) -> None:
        """Nobody listens: there is no log."""

    def knows(self, version: str) -> bool:
        """Nobody was told."""
        return False

    def _events(self, left_out: Counter[str]) -> Iterator[AssociationEvent]:
        """What can be read of the file.

        Raises:
            DataError: nothing of it can, or the file itself cannot.
        """
        n_read, first_fault = 0, ""
        try:
            with self._pairs.open("rb") as lines:
                for number, line in enumerate(lines, 1):
                    try:
                        if line.strip():
                            yield association_of(line)
                            n_read += 1
                    except (ValueError, RecursionError) as error:
                        left_out[UNREADABLE] += 1
                        first_fault = first_fault or f" ({self._pairs}, line {number}: {error})"
        except OSError as error:
            raise DataError(f"{self._pairs} cannot be read: {error.strerror}") from error
        if not n_read:
            raise DataError(
                f"{self._pairs} holds no association event{first_fault}",
                hint="stgal-stream run --from … --associations FILE writes such a file",
            )

    def _crop(self, name: str, form: CropFormat, left_out: Counter[str]) -> bytes | None:
        if "/" in name:  # an id is a name here, not a way out of the folder
            left_out["unreadable"] += 1
            return None
        try:
            paths = [self._crops / f"{name}{suffix}" for suffix in _SUFFIXES]
            path = next((p for p in paths if p.is_file()), None)
            if path is None:
                left_out["no_crop_in_the_folder"] += 1
                return None
            if path.stat().st_size > MAX_BYTES:
                raise BadCrop("too many bytes", too_large=True)
            picture = path.read_bytes()
            pixels_of(picture, form)
            return picture
        except (OSError, BadCrop):
            left_out["unreadable"] += 1
            return None
