"""Identity events of one person and of others whom they concern."""

from __future__ import annotations

import json
from typing import Any


def told_of_a_person(site: str) -> list[bytes]:
    """The person is ``aaaaaaaaaaaaaaaa``, their tracklets ``person-1`` and ``person-2``. Of five
    others one was joined to them and parted again, three had them as a partner."""
    events = [
        _seen(site, "created", "a" * 16, "person-1"),
        _seen(site, "joined", "a" * 16, "person-2", partner="person-1"),
        _seen(site, "created", "b" * 16, "named-them", partner="person-1"),
        _seen(site, "created", "c" * 16, "named-them-and-moved", partner="person-2"),
        _seen(site, "renamed", "d" * 16, "named-them-and-moved", before="c" * 16),
        _seen(site, "joined", "a" * 16, "parted", partner="person-2"),
        _seen(site, "renamed", "e" * 16, "parted", before="a" * 16),
        _seen(site, "created", "f" * 16, "named-them-and-renamed", partner="person-1"),
        _identity(site, "renamed", "1" * 16, before="f" * 16),
        _seen(site, "created", "2" * 16, "a-stranger"),
        _identity(site, "erased", "a" * 16),
    ]
    for number, event in enumerate(events):
        event["eventId"] = f"{number:032x}"
    return [json.dumps(event).encode() for event in events]


def _identity(site: str, kind: str, identity: str, before: str | None = None) -> dict[str, Any]:
    time = "2026-01-05T08:00:00.000Z"
    event: dict[str, Any] = {"schema": "stgal.identity.v1", "type": kind, "site": site}
    event |= {"timestamp": time, "atSeconds": 1767600000.0, "globalId": identity}
    if before is not None:
        event |= {"from": before, "to": identity, "scope": "identity"}
    return event


def _seen(
    site: str,
    kind: str,
    identity: str,
    tracklet: str,
    *,
    partner: str | None = None,
    before: str | None = None,
) -> dict[str, Any]:
    event = _identity(site, kind, identity, before)
    if before is not None:
        event["scope"] = "tracklet"
    time = event["timestamp"]
    event["tracklet"] = {"id": tracklet, "sensorId": "gate", "start": time, "end": time}
    event["tracklet"] |= {"extractor": "x", "detections": [tracklet, f"{tracklet}-2"]}
    if partner is not None:
        event["evidence"] = {
            "partner": partner, "partnerSensorId": "hall", "pVisual": 0.9, "pTravel": 0.9,
            "pAssociation": 0.9, "travelTimeSeconds": 9.0, "logOdds": 4.0,
            "travelTimeVersion": "x/1", "runnerUp": None,
        }  # fmt: skip
    return event
