"""``stgal.calibration.v1``: what a site's tracker has learned, told at each calibration (JSON).

Whoever reads the log alone knows with it which cameras share people, how long people take between
them, and how far the daemon trusts its own pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stgal_stream.types import CalibrationEvent
from stgal_stream.wire.events import with_id
from stgal_stream.wire.fields import format_time

SCHEMA = "stgal.calibration.v1"


def encode_calibration(
    site: str, event: CalibrationEvent, clocks_off_s: Mapping[str, float]
) -> bytes:
    """One calibration, with the clocks that are known to be off when it is written."""
    facts = event.facts
    found = facts["calibration"]
    body = {
        "schema": SCHEMA,
        "site": site,
        "timestamp": format_time(event.at_s),
        "atSeconds": event.at_s,
        "extractor": facts["extractor"],
        "travelTimeVersion": found["version"],
        "method": found["method"],
        "alpha": found["alpha"],
        "sigma": found["sigma"],
        "expectedPrecision": found["expected_precision"],
        "expectedIdentityPrecision": found["expected_identity_precision"],
        "learned": found["learned"],
        "tracklets": facts["n_tracklets"],
        "identities": facts["n_identities"],
        "associations": facts["n_associations"],
        "sensorIds": facts["cameras"],
        "clocksOffSeconds": clocks_off_s,
        "staticObjects": facts["static_objects"],
        "pairs": [_pair(pair) for pair in facts["pairs"]],
        "pairsLeftOut": facts["n_pairs_left_out"],
    }
    return with_id(body)


def _pair(pair: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "sensorIds": pair["cameras"],
        "verdict": pair["verdict"],
        "bestBuddies": pair["n_buddies"],
        "associations": pair["n_associations"],
        "p10Seconds": pair["p10_s"],
        "medianSeconds": pair["median_s"],
        "p90Seconds": pair["p90_s"],
        "medianDriftSeconds": pair["median_drift_s"],
    }
