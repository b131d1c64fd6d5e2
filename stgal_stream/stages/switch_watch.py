"""When the sites of one partition of the embeddings change the extractor.

Each embed worker switches its partitions of the detections by itself, and says so with a marker.
From the first marker on the site waits: what follows is only looked at, for the markers that are
still missing. Once all partitions are embedded by one extractor, the window changes to it, and what
was held back is read again, now all in one version. The law: this follows from the log's order
alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from stgal_stream.types import Vector
from stgal_stream.wire.embedding import EmbeddingRecord, EmbeddingsRecord, SwitchRecord

Held = tuple[str, str]


@dataclass(slots=True)
class Hold:
    """A switch that has begun at offset ``start`` and is complete up to ``looked``: where each
    partition is by now, the versions left behind, and the detections (site, id) held back in one of
    them."""

    start: int
    versions: dict[int, str]
    looked: int = -1
    left: set[str] = field(default_factory=set)
    waiting: set[Held] = field(default_factory=set)

    def look(self, offset: int, record: EmbeddingsRecord) -> str | None:
        """Looks at the next record; the one extractor of all partitions once that is so."""
        if offset <= self.looked:
            return None
        self.looked = offset
        if isinstance(record, EmbeddingRecord):
            self.waiting.add((record.site, record.id))
        if not isinstance(record, SwitchRecord):
            return None
        self.left |= {record.before, *self.versions.values()}
        for number in range(record.n_partitions):
            self.versions.setdefault(number, record.before)
        self.versions |= dict.fromkeys(record.partitions, record.after)
        found = set(self.versions.values())
        return found.pop() if len(found) == 1 else None


@dataclass(slots=True)
class SwitchWatch:
    """What one partition of the embeddings knows of switches.

    ``versions`` is where each partition of the detections is, as far as a marker said; ``first``
    the offset of the first detection that a version embedded anew; up to ``until``, ``held``
    replaces vectors of the version left behind.
    """

    versions: dict[int, str] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)
    hold: Hold | None = None
    until: int = -1
    extractor: str = ""
    held: dict[Held, Vector] = field(default_factory=dict)

    def begin(self, offset: int) -> Hold:
        """A marker at this offset begins a switch."""
        self.hold = Hold(offset, dict(self.versions))
        return self.hold

    def complete(self, extractor: str, held: dict[Held, Vector]) -> None:
        """The window has changed; ``held`` is what was held back, as the new extractor sees it."""
        assert self.hold is not None
        self.versions, self.until = self.hold.versions, self.hold.looked
        self.extractor, self.held, self.hold = extractor, held, None
        self.first.clear()

    def release(self, offset: int) -> None:
        """Everything up to an offset is read again."""
        if offset >= self.until:
            self.held = {}

    def dump(self) -> dict[str, Any]:
        """For a snapshot, taken while nothing that was held back is read again."""
        return {"versions": list(self.versions.items()), "first": self.first}

    @classmethod
    def load(cls, state: dict[str, Any]) -> SwitchWatch:
        """What ``dump`` gave."""
        return cls(dict(state["versions"]), dict(state["first"]))
