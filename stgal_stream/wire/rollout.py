"""``stgal.rollout.v1``: what is said in the releases topic (JSON).

A promotion or a rollback is one record; its offset names the rollout. Workers answer with what they
have prepared, switched or refused, a retraining with what came of it.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Promotion(msgspec.Struct, frozen=True, tag="promotion"):
    """A release is to be used. ``version`` empty is the extractor that daemons are configured
    with. ``kind`` is ``promote`` or ``rollback``; ``extractor`` is the version that embeddings
    carry, ``sha256`` the model's, ``folder`` where whoever promoted it has it, ``variant`` the
    hash of its 8-bit variant, empty if it has none."""

    kind: str
    version: str
    extractor: str
    sha256: str
    folder: str
    at_s: float
    variant: str = ""


class Prepared(msgspec.Struct, frozen=True, tag="prepared"):
    """A partition of the detections could switch: the release loads and passes its self-test, and
    the window up to ``offset`` is embedded again."""

    rollout: int
    partition: int
    offset: int


class Switched(msgspec.Struct, frozen=True, tag="switched"):
    """From here on a partition of the detections is embedded by the rollout's release."""

    rollout: int
    partition: int


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """A worker cannot use the rollout's release, so nobody does."""

    rollout: int
    worker: str
    reason: str


class Retrained(msgspec.Struct, frozen=True, tag="retrained"):
    """A retraining came to its end."""

    version: str
    at_s: float
    seconds: float
    n_pairs: int
    passed: bool
    gate: dict[str, Any] = {}


RolloutRecord = Promotion | Prepared | Switched | Refused | Retrained
_DECODER = msgspec.json.Decoder(RolloutRecord)


def encode(record: RolloutRecord) -> bytes:
    """The record as JSON."""
    return msgspec.json.encode(record)


def decode(value: bytes) -> RolloutRecord:
    """What ``encode`` made.

    Raises:
        msgspec.MsgspecError: it is something else.
    """
    record: RolloutRecord = _DECODER.decode(value)
    return record
