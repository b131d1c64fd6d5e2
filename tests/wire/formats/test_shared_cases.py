"""Messages as producers really send them, where a checkout has them beside it: each file gives what
its description expects."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from stgal_stream.log.port import Partition, Record
from stgal_stream.settings import InputSettings
from stgal_stream.types import Reason
from stgal_stream.wire.detection import decode
from stgal_stream.wire.fields import BadRecord

CASES = Path(__file__).resolve().parents[4] / "shared" / "cases"
ALL = 24
OURS = (
    "at-timestamp", "base64-lines", "crlf", "data-uri", "epoch-millis", "epoch-seconds", "human",
    "image-jpg", "int-id", "int-sensor", "minus-one-confidence", "nanoseconds", "no-id",
    "normalised-box", "objects-array", "offset-0200", "percent-confidence", "same-id",
    "space-offset", "untracked-max-id", "urlsafe-base64", "vector-nested", "vector-two-models",
    "vector-two-sizes",
)  # fmt: skip
TAKEN = [f"ours-{name}" for name in OURS] + [
    "axis-adf-snapshot", "deepstream-minimal-embedding", "nvschema-frame", "scenescape-camera",
]  # fmt: skip
REFUSED = [
    ("axis-adf-frame", Reason.POSITION_ONLY, {}),
    ("deepstream-full", Reason.POSITION_ONLY, {}),
    ("deepstream-minimal", Reason.POSITION_ONLY, {}),
    ("frigate-events", Reason.POSITION_ONLY, {}),
    ("onvif-metadata", Reason.POSITION_ONLY, {}),
    ("savant-frame", Reason.POSITION_ONLY, {}),
    (
        "dlstreamer-gvametaconvert",
        Reason.BAD_TIMESTAMP,
        {"stream_start": "2025-01-01T00:00:00Z"},
    ),
    ("ours-class-list", Reason.UNKNOWN_TYPE, {"person_types": ("0",)}),
    ("ours-no-offset", Reason.BAD_TIMESTAMP, {"timestamp_zone": "Europe/Berlin"}),
    ("ours-vector-no-model", Reason.SCHEMA, {"upstream_model": "osnet@1"}),
]


def outcomes(name: str, **settings: object) -> Counter[str]:
    path = CASES / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(f"no {path} here")
    inputs = InputSettings(**settings)  # type: ignore[arg-type]
    found: Counter[str] = Counter()
    for offset, line in enumerate(path.read_bytes().splitlines()):
        record = Record(Partition("d", 0), offset, None, line, (), 1.8e9)
        try:
            decoded = decode(record, inputs)
        except BadRecord as fault:
            found[fault.reason] += 1
            continue
        found["taken"] += len(decoded.messages)
        found.update(str(fault.reason) for fault in decoded.faults)
    return +found


@pytest.mark.parametrize("name", TAKEN)
def test_what_has_a_meaning_is_taken(name: str) -> None:
    assert outcomes(name) == {"taken": ALL}


@pytest.mark.parametrize(("name", "reason", "settings"), REFUSED)
def test_what_lacks_something_is_refused_and_taken_once_it_is_told(
    name: str, reason: Reason, settings: dict[str, object]
) -> None:
    assert outcomes(name) == {reason: ALL}
    if settings:
        assert outcomes(name, **settings) == {"taken": ALL}
