"""``stgal.dead-letter.v1``: records that could not be used, each with its reason.

A dead letter names the record's place in the log and says what is wrong with it. It holds no
crop and no vector: personal data stays in the detections topic and its retention.
"""

from __future__ import annotations

from typing import Any

import msgspec

from stgal_stream.types import Position, Reason

SCHEMA = "stgal.dead-letter.v1"


def encode(
    reason: Reason,
    detail: str,
    position: Position | None,
    *,
    detection_id: str | None = None,
    camera: str | None = None,
    site: str | None = None,
) -> bytes:
    """One dead letter."""
    body: dict[str, Any] = {"schema": SCHEMA, "reason": str(reason), "detail": detail[:500]}
    if position is not None:
        body["record"] = {
            "topic": position.topic,
            "partition": position.partition,
            "offset": position.offset,
        }
    named = {"detection": detection_id, "sensorId": camera, "site": site}
    body |= {name: value for name, value in named.items() if value is not None}
    return msgspec.json.encode(body)
