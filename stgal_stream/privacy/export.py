"""One person's data as files: the answer to a request for access."""

from __future__ import annotations

import json
from dataclasses import astuple
from pathlib import Path
from typing import Any

from stgal_stream.log.port import Log
from stgal_stream.log.reading import records
from stgal_stream.privacy.person import Person, embedding_of, json_values
from stgal_stream.settings import Config
from stgal_stream.types import Position
from stgal_stream.wire.detection import decode
from stgal_stream.wire.embedding import EmbeddingRecord, ReembeddedRecord, as_vector
from stgal_stream.wire.fields import BadRecord, format_time

_SUFFIXES = {b"\xff\xd8": ".jpg", b"\x89P": ".png", b"RI": ".webp"}


def export(log: Log, config: Config, person: Person, folder: Path) -> dict[str, int]:
    """Writes ``person.json`` and the pictures into an empty folder; how many of each kind of thing
    there are. Other people's names stand in it only where the person's own events name them.

    Raises:
        LogError: the log cannot be read.
    """
    pictures = folder / "pictures"
    pictures.mkdir()
    topics = config.topics
    detections = _detections(log, config, person, pictures)
    content = {
        "site": person.site,
        "identities": list(person.identities),
        "sightings": list(person.sightings.values()),
        "detections": detections,
        "identityEvents": _events(log, topics.identities, person),
        "associations": _events(log, topics.associations, person),
        "corrections": _events(log, topics.corrections, person),
        "embeddings": _embeddings(log, topics.embeddings, person),
    }
    (folder / "person.json").write_text(json.dumps(content, indent=1))
    counts = {name: len(value) for name, value in content.items() if isinstance(value, list)}
    return counts | {"pictures": sum("picture" in each for each in detections)}


def _events(log: Log, topic: str, person: Person) -> list[dict[str, Any]]:
    return [event for event in json_values(log, topic) if person.is_event(event)]


def _embeddings(log: Log, topic: str, person: Person) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for partition in range(log.partitions(topic)):
        for record in records(log, topic, partition):
            content = embedding_of(record)
            if not isinstance(content, EmbeddingRecord | ReembeddedRecord):
                continue
            if person.is_embedding(content):
                vector = as_vector(content).tolist()
                found.append(
                    {"detection": content.id, "extractor": content.extractor, "vector": vector}
                )
    return found


def _detections(log: Log, config: Config, person: Person, pictures: Path) -> list[dict[str, Any]]:
    """What their cameras sent, without what else is in the same records."""
    found: list[dict[str, Any]] = []
    for at in sorted(person.places, key=lambda p: (p.topic, p.partition, p.offset)):
        for told, crop in _in_record(log, config, at, person.places[at]):
            if crop is not None:
                name = f"{len(found):06d}{_SUFFIXES.get(crop[:2], '')}"
                (pictures / name).write_bytes(crop)
                told["picture"] = f"pictures/{name}"
            found.append(told)
    return found


def _in_record(
    log: Log, config: Config, at: Position, names: set[str]
) -> list[tuple[dict[str, Any], bytes | None]]:
    read = log.read(at.topic, at.partition, at.offset, 1)
    if not read or read[0].offset != at.offset:
        return []  # retention has taken it
    try:
        messages = decode(read[0], config.input).messages
    except BadRecord:
        return []
    return [
        (
            {
                "id": message.id,
                "camera": message.camera,
                "timestamp": format_time(message.time_s),
                "track": message.track_id,
                "box": None if message.box is None else astuple(message.box),
                "arrived": format_time(read[0].append_time_s),
            },
            message.crop,
        )
        for message in messages
        if message.id in names
    ]
