"""All that the log holds of one person, and where it lies.

A person is an identity, as the events made it: what was merged into it is of the same person, what
was parted from it is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from stgal_stream.errors import DataError
from stgal_stream.log.port import Log, Record
from stgal_stream.log.reading import records
from stgal_stream.settings import TopicSettings
from stgal_stream.types import Position
from stgal_stream.wire.embedding import (
    CorrectionRecord,
    EmbeddingRecord,
    EmbeddingsRecord,
    ErasureRecord,
    ReembeddedRecord,
    decode,
)

Content = dict[str, Any]
_MAX_NAMED = 2000  # in one record of an erasure, so that it stays far below a megabyte


@dataclass(slots=True)
class Person:
    """One person of a site.

    ``identities`` are the ids that are theirs alone, the one in use first; ``sightings`` the
    tracklets (as events tell them) by id; ``detections`` the ids of all detections. ``places`` is
    where these lie in the detections topic; at ``shared`` ones other people lie in the same record.
    """

    site: str
    identities: tuple[str, ...]
    sightings: dict[str, Content]
    detections: frozenset[str]
    places: dict[Position, set[str]] = field(default_factory=dict)
    shared: set[Position] = field(default_factory=set)

    @property
    def names(self) -> frozenset[str]:
        """Everything that names them in events."""
        return self.detections.union(self.identities, self.sightings)

    def erasures(self) -> list[ErasureRecord]:
        """What tells the tracker and all who follow the log to forget them."""
        names = sorted(self.detections)
        parts = [names[at : at + _MAX_NAMED] for at in range(0, len(names), _MAX_NAMED)] or [[]]
        return [
            ErasureRecord(self.site, self.identities if first else (), tuple(part))
            for first, part in ((part is parts[0], part) for part in parts)
        ]

    # --- what of a record is theirs ----------------------------------------------------------

    def is_embedding(self, content: EmbeddingsRecord) -> bool:
        """Whether a record of the embeddings is about them."""
        if isinstance(content, EmbeddingRecord | ReembeddedRecord):
            return content.site == self.site and content.id in self.detections
        if isinstance(content, ErasureRecord):
            return content.site == self.site and not self.names.isdisjoint(
                (*content.identities, *content.detections)
            )
        if isinstance(content, CorrectionRecord):
            return content.site == self.site and not self.names.isdisjoint(
                (*content.first, *content.second)
            )
        return False

    def is_event(self, event: Content) -> bool:
        """Whether a JSON event of any topic is about them, be it with somebody else."""
        if event.get("site") != self.site:
            return False
        named = [event.get("globalId"), event.get("detection")]
        if "tracklet" not in event:  # else another's, who was parted from them
            named.append(event.get("from"))
        named += [_id(event.get(side)) for side in ("tracklet", "query", "gallery")]
        for side in ("first", "second"):
            told = event.get(side)
            named += told if isinstance(told, list) else []
        return any(isinstance(name, str) and name in self.names for name in named)


def _id(tracklet: Any) -> Any:
    return tracklet.get("id") if isinstance(tracklet, dict) else None


def find_person(log: Log, topics: TopicSettings, site: str | None, identity: str) -> Person:
    """A person by any id of theirs that is still in the log.

    Raises:
        DataError: there is nobody of that id, or in several sites.
        LogError: the log cannot be read.
    """
    found = IdentityHistory.of(log, topics.identities)
    sites = sorted({where for where, name in found.known if name == identity})
    if site is not None:
        sites = [site] if site in sites else []
    if len(sites) > 1:
        raise DataError(
            f"several sites know an identity {identity!r}", hint=f"--site, one of {sites}"
        )
    if not sites:
        raise DataError(
            f"nobody in the log is {identity!r}",
            hint="the page and the identities topic have the ids; older ones are forgotten",
        )
    person = found.person(sites[0], identity)
    _find_places(person, log, topics.embeddings)
    return person


def _find_places(person: Person, log: Log, topic: str) -> None:
    others: set[Position] = set()
    for partition in range(log.partitions(topic)):
        for record in records(log, topic, partition):
            content = embedding_of(record)
            if not isinstance(content, EmbeddingRecord) or content.position is None:
                continue
            at = Position(*content.position)
            if person.is_embedding(content):
                person.places.setdefault(at, set()).add(content.id)
            else:
                others.add(at)
    person.shared = others.intersection(person.places)


class IdentityHistory:
    """Who was who, by the events: ``known`` are all identities, each with its site."""

    def __init__(self) -> None:
        self.known: set[tuple[str, str]] = set()
        self._sightings: dict[tuple[str, str], Content] = {}
        self._whose: dict[tuple[str, str], str] = {}
        self._ever: dict[tuple[str, str], set[str]] = {}  # tracklets that an identity ever had

    @classmethod
    def of(cls, log: Log, topic: str) -> IdentityHistory:
        """That of a topic of identity events."""
        made = cls()
        for content in json_values(log, topic):
            made.read(content)
        return made

    @property
    def detections(self) -> dict[tuple[str, str], str]:
        """Whose each detection is, by site and id."""
        return {
            (site, detection): self._whose[site, name]
            for (site, name), told in self._sightings.items()
            for detection in told.get("detections", ())
        }

    def read(self, event: Content) -> None:
        """Takes the next event; what is none is left out."""
        site, kind, identity = event.get("site"), event.get("type"), event.get("globalId")
        if not (isinstance(site, str) and isinstance(identity, str)):
            return
        self.known.add((site, identity))
        tracklet = event.get("tracklet")
        if isinstance(tracklet, dict) and isinstance(tracklet.get("id"), str):
            name = tracklet["id"]
            self._sightings[site, name] = tracklet
            self._put(site, name, identity)
        elif kind == "renamed":
            before = str(event.get("from"))
            self.known.add((site, before))
            for name in list(self._ever.get((site, before), ())):
                if self._whose.get((site, name)) == before:
                    self._put(site, name, identity)

    def _put(self, site: str, name: str, identity: str) -> None:
        self._whose[site, name] = identity
        self._ever.setdefault((site, identity), set()).add(name)

    def person(self, site: str, identity: str) -> Person:
        """Whoever an id leads to."""
        ever = self._ever.get((site, identity), set())
        now = {self._whose[site, name] for name in ever}
        # An id that was merged into another leads there; one that was parted stays what it is.
        current = now.pop() if len(now) == 1 else identity
        mine = {n for (where, n), who in self._whose.items() if where == site and who == current}
        others = {
            name
            for (where, name), tracklets in self._ever.items()
            if where == site and name != current and tracklets and tracklets <= mine
        }
        sightings = {name: self._sightings[site, name] for name in sorted(mine)}
        detections = (d for told in sightings.values() for d in told.get("detections", ()))
        names = frozenset(name for name in detections if isinstance(name, str))
        return Person(site, (current, *sorted(others)), sightings, names)


def json_values(log: Log, topic: str) -> Iterator[Content]:
    """The JSON objects of a topic; what is none is left out."""
    for partition in range(log.partitions(topic)):
        for record in records(log, topic, partition):
            content = json_of(record)
            if content is not None:
                yield content


def json_of(record: Record) -> Content | None:
    """The JSON object that a record holds, if it does."""
    try:
        content = msgspec.json.decode(record.value)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def embedding_of(record: Record) -> EmbeddingsRecord | None:
    """What a record of the embeddings topic says, if it can be read."""
    try:
        return decode(record.value)
    except (msgspec.MsgspecError, ValueError):
        return None
