"""Keys on Kafka under which one record alone can be taken out of a topic.

Kafka deletes single records by compaction alone, which goes by keys: so a record that may have to
go has a key that no other has. It begins with the given key, which decides the partition.
"""

from __future__ import annotations

import os
from typing import Any

from kafka.partitioner.default import DefaultPartitioner

_N_BYTES = 12  # no two alike among 10^12 records, but for a chance of one in 10^5
_TAIL = 1 + 2 * _N_BYTES


def own_key(key: bytes | None) -> bytes:
    """A key that no other record has: the given one, a zero byte, random hexadecimal digits."""
    return given_key(key or b"") + b"\0" + os.urandom(_N_BYTES).hex().encode()


def is_own_key(key: bytes | None) -> bool:
    """Whether a key is one of these."""
    if key is None or len(key) < _TAIL or key[-_TAIL] != 0:
        return False
    return all(digit in b"0123456789abcdef" for digit in key[1 - _TAIL :])


def given_key(key: bytes) -> bytes:
    """The part of a key that was given."""
    return key[:-_TAIL] if is_own_key(key) else key


class ByGivenKey(DefaultPartitioner):  # type: ignore[misc]  # kafka-python has no types
    """Kafka's own partitioner, as if every key were the given one."""

    def partition(self, topic: str, key: Any, serialized_key: bytes | None, *others: Any) -> int:
        """The partition of a record; any where no key was given."""
        given = None if serialized_key is None else given_key(serialized_key) or None
        return int(super().partition(topic, key, given, *others))
