"""When the sites of one partition of the embeddings change the extractor.

Each embed worker switches its partitions of the detections by itself, and writes a marker. From the
first marker on the site holds: what follows is only checked, for the markers that are still
missing. Once all partitions are embedded by one extractor, the window changes to it, and what was
held back is read again, now all in one version. Law: this follows from the log's order alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from stgal_stream.types import Detection, Vector
from stgal_stream.wire.embedding import EmbeddingRecord, EmbeddingsRecord, SwitchRecord

Held = tuple[str, str]  # site, detection id


@dataclass(slots=True)
class Hold:
    """A switch that has begun at offset ``start`` and is checked up to ``checked``: where each
    partition is by now, the versions left behind, and the detections held back in one of them."""

    start: int
    versions: dict[int, str]
    checked: int = -1
    left: set[str] = field(default_factory=set)
    waiting: set[Held] = field(default_factory=set)

    def check(self, offset: int, record: EmbeddingsRecord) -> str | None:
        """Checks the next record; the one extractor of all partitions once that is so."""
        if offset <= self.checked:
            return None
        self.checked = offset
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


@dataclass(frozen=True, slots=True)
class MarkerState:
    """All that a ``MarkerWatch`` knows while no held record is being read again."""

    versions: dict[int, str]
    first: dict[str, int]


@dataclass(slots=True)
class MarkerWatch:
    """What one partition of the embeddings knows of switches.

    ``versions`` is where each partition of the detections is, as far as a marker said; ``first``
    the offset of the first detection that a version embedded again; up to offset ``until``,
    ``held`` replaces vectors of the version left behind.
    """

    versions: dict[int, str] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)
    hold: Hold | None = None
    until: int = -1
    extractor: str = ""
    held: dict[Held, Vector] = field(default_factory=dict)

    def begin(self, offset: int) -> None:
        """A marker at this offset begins a switch."""
        self.hold = Hold(offset, dict(self.versions))

    def drop_hold(self) -> None:
        """What was held back is read again from the marker on."""
        self.hold = None

    def complete(self, extractor: str, held: dict[Held, Vector]) -> None:
        """The window has changed; ``held`` is what was held back, in the new version."""
        assert self.hold is not None
        self.versions, self.until = self.hold.versions, self.hold.checked
        self.extractor, self.held, self.hold = extractor, held, None
        self.first.clear()

    def release(self, offset: int) -> None:
        """Everything up to an offset is read again."""
        if offset >= self.until:
            self.held = {}

    def as_seen(self, site: str, detection: Detection) -> Detection:
        """A detection that was held back in the version left behind, in the new one."""
        vector = self.held.get((site, detection.id))
        if vector is None or detection.extractor == self.extractor:
            return detection
        return replace(detection, embedding=vector, extractor=self.extractor)

    def state(self) -> MarkerState:
        """Everything known, to go on from."""
        return MarkerState(self.versions, self.first)

    @classmethod
    def restore(cls, state: MarkerState) -> MarkerWatch:
        """Goes on from ``state``."""
        return cls(dict(state.versions), dict(state.first))
