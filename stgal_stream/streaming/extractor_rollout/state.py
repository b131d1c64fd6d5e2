"""Which extractor each partition of the detections is embedded with, and which it should be.

Law: this is a function of the releases topic alone. The last promotion or rollback that nobody
refused is the target; a partition is where its last switch put it.
"""

from __future__ import annotations

import logging

import msgspec

from stgal_stream.log.port import Log
from stgal_stream.log.reading import records
from stgal_stream.wire.rollout import (
    Prepared,
    Promotion,
    Refused,
    Retrained,
    RolloutRecord,
    Switched,
    decode,
)

logger = logging.getLogger(__name__)

CONFIGURED = -1


class RolloutState:
    """Everything that the releases topic says so far. A rollout's number is its promotion's offset;
    ``CONFIGURED`` is that of the extractor which daemons are configured with."""

    def __init__(self) -> None:
        self.promotions: dict[int, Promotion] = {}
        self.refused: dict[int, Refused] = {}
        self.retrained: Retrained | None = None
        self._prepared: dict[tuple[int, int], int] = {}
        self._at: dict[int, int] = {}
        self._next_offset = 0

    def read(self, log: Log, topic: str) -> None:
        """Takes what was written since the last time.

        Raises:
            LogError: the topic cannot be read.
        """
        for record in records(log, topic, 0, self._next_offset):
            try:
                self.take(record.offset, decode(record.value))
            except msgspec.MsgspecError as error:
                logger.warning("%s/0 offset %d is left aside: %s", topic, record.offset, error)
            self._next_offset = record.offset + 1

    def take(self, offset: int, record: RolloutRecord) -> None:
        """Takes one record."""
        if isinstance(record, Refused) and record.rollout not in self.promotions:
            return  # nothing can be refused before it was promoted
        if isinstance(record, Promotion | Refused):
            self._prepared.clear()  # what was prepared for another target is worth nothing now
        if isinstance(record, Promotion):
            self.promotions[offset] = record
        elif isinstance(record, Prepared):
            self._prepared[record.rollout, record.partition] = record.offset
        elif isinstance(record, Switched):
            self._at[record.partition] = record.rollout
        elif isinstance(record, Refused):
            self.refused[record.rollout] = record
        else:
            self.retrained = record

    @property
    def target(self) -> int:
        """The rollout that all partitions should be at."""
        usable = [number for number in self.promotions if number not in self.refused]
        return max(usable, default=CONFIGURED)

    def at(self, partition: int) -> int:
        """The rollout that a partition is at."""
        return self._at.get(partition, CONFIGURED)

    def release(self, rollout: int) -> Promotion | None:
        """What a rollout puts in use; None where it is the configured extractor."""
        promotion = self.promotions.get(rollout)
        return promotion if promotion is not None and promotion.version else None

    def prepared(self, rollout: int, partition: int) -> int | None:
        """Up to which offset a partition's window is embedded again for a rollout; None where the
        partition is not prepared."""
        return self._prepared.get((rollout, partition))

    def all_prepared(self, rollout: int, n_partitions: int) -> bool:
        """Whether every partition of the detections could switch, or is there already; not so while
        nobody can say how many there are."""
        return n_partitions > 0 and all(
            self.at(number) == rollout or self.prepared(rollout, number) is not None
            for number in range(n_partitions)
        )

    @property
    def before_last(self) -> Promotion | None:
        """What a rollback goes back to: what was in use before the release in use now; None where
        that is the configured extractor.

        Raises:
            LookupError: no release is in use.
        """
        in_use: list[Promotion] = []
        for number, promotion in sorted(self.promotions.items()):
            if number in self.refused:
                continue
            names = [p.extractor for p in in_use]
            if promotion.kind == "rollback" and promotion.extractor in ("", *names):
                kept = names.index(promotion.extractor) + 1 if promotion.extractor else 0
                del in_use[kept:]
            elif names[-1:] != [promotion.extractor]:  # what is in use already changes nothing
                in_use.append(promotion)
        if not in_use:
            raise LookupError("no release is in use")
        return in_use[-2] if len(in_use) > 1 else None

    @property
    def in_use(self) -> Promotion | None:
        """The release that the target puts in use; None for the configured extractor."""
        return self.release(self.target)
