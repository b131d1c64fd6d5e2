"""Events of the tracker -> ``stgal.identity.v1`` and ``stgal.association.v1`` (JSON).

An event's id follows from what happened, so a replay gives the same ids.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from stgal_stream.types import AssociationEvent, Evidence, IdentityEvent, Tracklet
from stgal_stream.wire.fields import format_time

IDENTITY_SCHEMA = "stgal.identity.v1"
ASSOCIATION_SCHEMA = "stgal.association.v1"
_ENCODER = msgspec.json.Encoder()


def encode_identity(site: str, event: IdentityEvent) -> bytes:
    """One identity event."""
    body: dict[str, Any] = {
        "schema": IDENTITY_SCHEMA,
        "type": event.kind,
        "site": site,
        "timestamp": format_time(event.at_s),
        "atSeconds": event.at_s,
        "globalId": event.global_id,
    }
    if event.kind == "renamed":
        body |= {"from": event.from_id, "to": event.global_id}
        body["scope"] = "identity" if event.tracklet is None else "tracklet"
    if event.tracklet is not None:
        body["tracklet"] = _tracklet(event.tracklet, members=True)
    if event.evidence is not None:
        body["evidence"] = _evidence(event.evidence)
    if event.operator_correction is not None:
        body["correctionId"] = event.operator_correction
    return with_id(body)


def encode_association(site: str, event: AssociationEvent) -> bytes:
    """One pseudo-pair, accepted or withdrawn, with the log positions of both crops."""
    return with_id(
        {
            "schema": ASSOCIATION_SCHEMA,
            "type": event.kind,
            "site": site,
            "timestamp": format_time(event.at_s),
            "atSeconds": event.at_s,
            "pairId": f"{event.evidence.partner.id}~{event.query.id}",
            "query": _tracklet(event.query, members=False),
            "gallery": _tracklet(event.evidence.partner, members=False),
            "evidence": _evidence(event.evidence),
        }
    )


def _tracklet(tracklet: Tracklet, *, members: bool) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": tracklet.id,
        "sensorId": tracklet.camera,
        "start": format_time(tracklet.start_s),
        "end": format_time(tracklet.end_s),
        "extractor": tracklet.extractor,
    }
    if tracklet.late_s:
        body["lateSeconds"] = tracklet.late_s
    if tracklet.track_id is not None:
        body["trackId"] = tracklet.track_id
    if tracklet.position is not None:
        at = tracklet.position
        body["crop"] = {"topic": at.topic, "partition": at.partition, "offset": at.offset}
    if members:
        body["detections"] = list(tracklet.detection_ids)
    return body


def _evidence(evidence: Evidence) -> dict[str, Any]:
    body: dict[str, Any] = {
        "partner": evidence.partner.id,
        "partnerSensorId": evidence.partner.camera,
        "pVisual": evidence.p_visual,
        "pTravel": evidence.p_travel,
        "pAssociation": evidence.p_association,
        "travelTimeSeconds": evidence.travel_time_s,
        "logOdds": evidence.log_odds,
        "travelTimeVersion": evidence.travel_time_version,
        "runnerUp": None,
    }
    if evidence.runner_up is not None:
        body["runnerUp"] = {
            "tracklet": evidence.runner_up.id,
            "sensorId": evidence.runner_up.camera,
            "pAssociation": evidence.runner_up_p_association,
        }
    return body


def with_id(body: dict[str, Any]) -> bytes:
    """An event with its id, which follows from what it says."""
    digest = hashlib.blake2b(_ENCODER.encode(body), digest_size=16).hexdigest()
    return _ENCODER.encode({"eventId": digest, **body})
