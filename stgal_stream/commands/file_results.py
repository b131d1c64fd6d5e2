"""What a run over a file gave, and where it is written."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from stgal_stream.errors import DataError
from stgal_stream.evaluation.mot_files import TrackedBox, write_mot
from stgal_stream.log.port import Log
from stgal_stream.log.reading import values
from stgal_stream.replacing import replacing
from stgal_stream.settings import Config
from stgal_stream.wire.embedding import EmbeddingRecord, decode
from stgal_stream.wire.mapping import Mapping


@dataclass(frozen=True, slots=True)
class ResultFiles:
    """Where the results of a file go."""

    target: Path
    mapping: Path | None
    dead_letters: Path | None
    associations: Path | None
    mot: Path | None = None
    fps: float = 25.0
    frame_1_s: float | None = None


def check_usable(results: FileResults, source: Path, n: int, max_unusable: float) -> None:
    """
    Raises:
        DataError: nothing could be used, or too little.
    """
    if not results.refused:
        if not results.identities:
            raise DataError(f"none of the {n} records in {source} shows a person")
        return
    reason, detail = results.refused[0]
    first = f"the first one: {reason}: {detail}"
    n_refused = len(results.refused_records)
    if not results.identities:
        raise DataError(f"none of the {n} records in {source} could be used", hint=first)
    if n_refused > max_unusable * n:
        raise DataError(
            f"{n_refused} of the {n} records in {source} could not be used; "
            f"--max-unusable allows {max_unusable:.0%}",
            hint=first,
        )


@dataclass(frozen=True, slots=True)
class FileResults:
    """What a file gave: the topics' values, and what they come to."""

    identities: list[bytes]
    associations: list[bytes]
    dead_letters: list[bytes]
    mapping: Mapping
    boxes: list[TrackedBox]

    @classmethod
    def of(cls, config: Config, log: Log, *, with_boxes: bool) -> FileResults:
        """What the topics of a log hold."""
        topics = config.topics
        identities = list(values(log, topics.identities))
        mapping = Mapping()
        for value in identities:
            mapping.take(json.loads(value))
        associations = list(values(log, topics.associations))
        letters = list(values(log, topics.dead_letters))
        boxes = list(_boxes(log, topics.embeddings, mapping)) if with_boxes else []
        return cls(identities, associations, letters, mapping, boxes)

    @property
    def refused(self) -> list[tuple[str, str]]:
        """Reason and detail of each record that could not be used."""
        found = map(json.loads, self.dead_letters)
        return [(letter["reason"], letter["detail"]) for letter in found]

    @property
    def refused_records(self) -> set[tuple[int, int]]:
        """Places of the records of which something could not be used: a frame is one record."""
        found = [json.loads(letter).get("record") for letter in self.dead_letters]
        return {(at["partition"], at["offset"]) for at in found if at is not None}

    def write(self, files: ResultFiles) -> None:
        """All files, or none where one cannot be written."""
        with ExitStack() as stack:
            for path, lines in (
                (files.target, self.identities),
                (files.dead_letters, self.dead_letters),
                (files.associations, self.associations),
            ):
                if path is not None:
                    with stack.enter_context(replacing(path)).open("wb") as out:
                        out.writelines(line + b"\n" for line in lines)
            if files.mapping is not None:
                self.mapping.write(stack.enter_context(replacing(files.mapping)))
            if files.mot is not None:
                write_mot(files.mot, self.boxes, files.fps, files.frame_1_s)

    def print(self, console: Console, target: Path) -> None:
        """A summary, and the first example of each reason for a refusal."""
        people = {row.global_id for row in self.mapping}
        console.print(
            f"{len(self.mapping)} detections, {len(people)} identities, "
            f"{self.mapping.n_renames} renames, {len(self.refused)} unusable records -> {target}"
        )
        first = dict(reversed(self.refused))
        counts = Counter(reason for reason, _ in self.refused)
        for reason, count in sorted(counts.items()):
            console.print(f"  unusable: {count} {reason}, such as: {first[reason]}", markup=False)


def _boxes(log: Log, topic: str, mapping: Mapping) -> Iterator[TrackedBox]:
    """Where everybody was."""
    final = {row.detection_id: row.global_id for row in mapping}
    for value in values(log, topic):
        record = decode(value)
        if isinstance(record, EmbeddingRecord) and record.id in final:
            yield TrackedBox(
                record.camera, record.time_s, record.box, record.confidence, final[record.id]
            )


def write_somewhere(results: FileResults, files: ResultFiles) -> None:
    """Writes the results; where that fails after all the work, they are kept elsewhere.

    Raises:
        DataError: they could not be written where they were wanted.
    """
    try:
        results.write(files)
    except DataError as error:
        kept = Path(tempfile.mkdtemp(prefix="stgal-results-"))
        names = ResultFiles(
            kept / "identities.jsonl",
            kept / "mapping.csv",
            kept / "dead-letters.jsonl",
            kept / "associations.jsonl",
            kept / "mot",
            files.fps,
            files.frame_1_s,
        )
        try:
            results.write(names)
        except DataError:
            raise error from None
        raise DataError(str(error), hint=f"the results lie in {kept}") from error
