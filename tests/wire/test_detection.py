"""stgal.detection.v1: what is taken, what is refused, and that nothing else happens."""

from __future__ import annotations

import base64
import contextlib
import json
from dataclasses import replace
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from stgal_stream.log.port import Partition, Record
from stgal_stream.settings import InputSettings
from stgal_stream.types import Box, Reason
from stgal_stream.wire.detection import crop_in, decode
from stgal_stream.wire.fields import BadRecord, format_time, parse_time_s
from stgal_stream.wire.raw_detection import DetectionMessage

LIMITS = InputSettings(max_record_bytes=1_000_000, max_future_s=60.0)
JPEG = b"\xff\xd8\xff\xe0 not a whole picture"
SCHEMA = json.loads((files("stgal_stream") / "wire" / "schemas" / "detection.v1.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=FormatChecker())


def record(value: bytes, headers: dict[str, str] | None = None) -> Record:
    packed = tuple((name, text.encode()) for name, text in (headers or {}).items())
    return Record(Partition("detections", 0), 0, None, value, packed, 1.7e9)


def one(record: Record, inputs: InputSettings) -> DetectionMessage:
    """The detection of a record that holds one."""
    found = decode(record, inputs)
    for fault in found.faults:
        raise fault
    (message,) = found.messages
    return message


def take(value: bytes, headers: dict[str, str] | None = None) -> DetectionMessage:
    return one(record(value, headers), LIMITS)


def body(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": "d1",
        "timestamp": "2023-11-14T22:13:10.5Z",
        "sensorId": "cam-1",
        "object": {
            "id": "42",
            "type": "person",
            "confidence": 0.9,
            "bbox": {"leftX": 1, "topY": 2, "rightX": 30, "bottomY": 60},
        },
        "crop": {"mediaType": "image/jpeg", "data": base64.b64encode(JPEG).decode()},
    }
    return {name: value for name, value in (made | changes).items() if value is not None}


def refused(value: bytes, headers: dict[str, str] | None = None) -> Reason:
    with pytest.raises(BadRecord) as caught:
        take(value, headers)
    assert caught.value.detail
    return caught.value.reason


def test_json_form() -> None:
    seen = take(json.dumps(body()).encode())
    assert seen.id == "d1"
    assert seen.site == "default"
    assert seen.camera == "cam-1"
    assert seen.time_s == 1_699_999_990.5
    assert seen.track_id == "42"
    assert seen.box == Box(1, 2, 30, 60)
    assert seen.crop == JPEG
    VALIDATOR.validate(body())


def test_compact_form_says_the_same() -> None:
    headers = {
        "id": "d1",
        "timestamp": "2023-11-14T22:13:10.5Z",
        "sensorId": "cam-1",
        "object.id": "42",
        "object.type": "person",
        "object.confidence": "0.9",
        "object.bbox": "1,2,30,60",
    }
    assert take(JPEG, headers) == take(json.dumps(body()).encode())


@pytest.mark.parametrize("as_text", [True, False])
def test_vectors_embedded_upstream(as_text: bool) -> None:
    vector = np.array([0.5, -2.0, 3.25], dtype="<f4")
    raw = base64.b64encode(vector.tobytes()).decode() if as_text else vector.tolist()
    made = body(crop=None, embedding={"vector": raw, "model": "osnet@1"})
    VALIDATOR.validate(made)
    seen = take(json.dumps(made).encode())
    assert seen.vector is not None
    assert seen.vector.tolist() == vector.tolist()
    assert seen.model == "osnet@1"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"id": ""}, Reason.SCHEMA),
        ({"id": "x" * 300}, Reason.SCHEMA),
        ({"id": "line\nbreak"}, Reason.SCHEMA),
        ({"id": 7.5}, Reason.SCHEMA),
        ({"objects": []}, Reason.SCHEMA),
        ({"object": None, "objects": [{"id": 1}, {"id": 2}]}, Reason.SCHEMA),
        ({"sensorId": None}, Reason.SCHEMA),
        ({"crop": None}, Reason.POSITION_ONLY),
        ({"schema": "stgal.detection.v9"}, Reason.UNKNOWN_TYPE),
        ({"object": {"type": "vehicle"}}, Reason.UNKNOWN_TYPE),
        ({"object": {"confidence": 101}}, Reason.SCHEMA),
        ({"object": {"confidence": -0.5}}, Reason.SCHEMA),
        ({"object": {"type": 0}}, Reason.UNKNOWN_TYPE),
        ({"crop": {"mediaType": "image/gif", "data": ""}}, Reason.UNKNOWN_TYPE),
        ({"crop": {"mediaType": "image/jpeg", "data": "%%%"}}, Reason.BAD_IMAGE),
        ({"timestamp": None}, Reason.BAD_TIMESTAMP),
        ({"timestamp": "yesterday"}, Reason.BAD_TIMESTAMP),
        ({"timestamp": "2023-11-14T22:13:10"}, Reason.BAD_TIMESTAMP),
        ({"timestamp": "1969-12-31T23:59:59Z"}, Reason.BAD_TIMESTAMP),
        ({"timestamp": "9999-12-31T23:59:59Z"}, Reason.BAD_TIMESTAMP),
        ({"timestamp": 17}, Reason.BAD_TIMESTAMP),
        ({"timestamp": 1e300}, Reason.BAD_TIMESTAMP),
        ({"timestamp": "2023-02-30T22:13:10Z"}, Reason.BAD_TIMESTAMP),
        ({"timestamp": "2023-11-15T22:13:10Z"}, Reason.FUTURE_TIMESTAMP),
        ({"embedding": {"vector": [], "model": "m"}}, Reason.BAD_VECTOR),
        ({"embedding": {"vector": [0.0, 0.0], "model": "m"}}, Reason.BAD_VECTOR),
        ({"embedding": {"vector": [1e39, 1.0], "model": "m"}}, Reason.BAD_VECTOR),
        ({"embedding": {"vector": [1e20, 1.0], "model": "m"}}, Reason.BAD_VECTOR),
        ({"embedding": {"vector": [10**400, 1.0], "model": "m"}}, Reason.BAD_VECTOR),
        ({"embedding": {"vector": [[1.0], [2.0]], "model": "m"}}, Reason.BAD_VECTOR),
        ({"embedding": {"vector": [{}], "model": "m"}}, Reason.BAD_VECTOR),
        ({"embedding": {"vector": "AAA=", "model": "m"}}, Reason.BAD_VECTOR),
        ({"embedding": {"vector": [1.0], "model": ""}}, Reason.SCHEMA),
        ({"embedding": {"vector": [1.0]}}, Reason.SCHEMA),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_reason(
    changes: dict[str, Any], reason: Reason
) -> None:
    assert refused(json.dumps(body(**changes)).encode()) is reason


@pytest.mark.parametrize(
    "box",
    [(5, 5, 5, 9), (9, 5, 5, 9), (0, 0, 1e6, 5), (float("inf"), 0, 1, 1), (float("nan"), 0, 1, 1)],
)
def test_absurd_boxes_are_refused(box: tuple[float, ...]) -> None:
    headers = {
        "id": "d",
        "timestamp": "2023-11-14T22:13:10Z",
        "sensorId": "c",
        "object.bbox": ",".join(map(str, box)),
    }
    assert refused(JPEG, headers) is Reason.BAD_BOX


@pytest.mark.parametrize(
    "value", [b"", b"\x00\xff", b"{", b'{"a":' + b"[" * 100_000, b'{"id": "\xff"}']
)
def test_what_is_not_json_is_refused(value: bytes) -> None:
    assert refused(value) is Reason.NOT_JSON


def test_not_an_object_is_refused() -> None:
    assert refused(b"[1, 2]") is Reason.SCHEMA


def test_huge_records_are_refused_unread() -> None:
    assert refused(b"x" * 2_000_000) is Reason.RECORD_TOO_LARGE


@given(st.binary(max_size=300))
def test_no_bytes_do_anything_else(value: bytes) -> None:
    with pytest.raises(BadRecord):
        take(value)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@given(st.sampled_from(sorted(SCHEMA["properties"])), json_values)
def test_any_value_in_any_place_is_taken_or_refused(name: str, value: Any) -> None:
    made = json.dumps(body() | {name: value}).encode()
    with contextlib.suppress(BadRecord):
        seen = take(made)
        assert seen.id
        assert np.isfinite(seen.time_s)


@given(st.floats(0, 4e9))
def test_times_survive_formatting(time_s: float) -> None:
    value = json.dumps(body(timestamp=format_time(time_s))).encode()
    seen = one(record(value), InputSettings(max_future_s=float("inf")))
    assert seen.time_s == pytest.approx(time_s, abs=2e-6)


@pytest.mark.parametrize(
    "spelling",
    [
        -1, -1.0, "-1", " -1 ", "", 18446744073709551615, "18446744073709551615",
        1.8446744073709552e19, 4294967295, 2147483647, 9223372036854775807, "0xFFFFFFFFFFFFFFFF",
        "null", "None", "NaN", "untracked", None,
    ],
)  # fmt: skip
def test_no_track_is_no_track_however_it_is_spelt(spelling: object) -> None:
    assert take(json.dumps(body(object={"id": spelling})).encode()).track_id is None
    if isinstance(spelling, str):
        headers = {
            "id": "d", "timestamp": "2023-11-14T22:13:10Z", "sensorId": "c", "object.id": spelling,
        }  # fmt: skip
        assert take(JPEG, headers).track_id is None


@pytest.mark.parametrize(
    ("given", "taken"), [(7, "7"), (7.0, "7"), ("7", "7"), (0, "0"), ("a", "a")]
)
def test_a_track_keeps_its_id(given: object, taken: str) -> None:
    assert take(json.dumps(body(object={"id": given})).encode()).track_id == taken


# --- what producers bend ---------------------------------------------------------------------

NOON_S = 1_699_999_990.5  # 2023-11-14T22:13:10.5Z


@pytest.mark.parametrize(
    "spelling",
    [
        "2023-11-14T22:13:10.5Z", "2023-11-14T22:13:10.500000000Z", "2023-11-14t22:13:10,5z",
        "2023-11-14 22:13:10.5Z", "2023-11-14 22:13:10.5 UTC", "2023-11-15T00:13:10.5+02:00",
        "2023-11-15T00:13:10.5+0200", "2023-11-15 00:13:10.5 +02", "2023-11-14T17:13:10.5-05:00",
        1699999990.5, 1699999990500, 1699999990500000, 1699999990500000000, "1699999990.5",
        "1699999990500",
    ],
)  # fmt: skip
def test_a_time_is_one_time_however_it_is_spelt(spelling: object) -> None:
    assert take(json.dumps(body(timestamp=spelling)).encode()).time_s == NOON_S
    made = body(timestamp=None) | {"@timestamp": spelling}
    assert take(json.dumps(made).encode()).time_s == NOON_S


def test_a_time_without_a_zone_is_taken_where_one_is_configured() -> None:
    value = json.dumps(body(timestamp="2023-11-14T23:13:10.5")).encode()
    assert refused(value) is Reason.BAD_TIMESTAMP
    seen = one(record(value), replace(LIMITS, timestamp_zone="Europe/Berlin"))
    assert seen.time_s == NOON_S


@given(st.integers(100_000_000, 4_000_000_000), st.integers(0, 999))
def test_units_of_unix_time_are_told_by_size(seconds: int, millis: int) -> None:
    expected = seconds + millis / 1000
    for unit in (1, 1_000, 1_000_000, 1_000_000_000):
        found = parse_time_s(expected if unit == 1 else round(expected * unit))
        assert found == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("kind", ["person", "Person", "PEDESTRIAN", "Human", None])
def test_people_by_any_name(kind: object) -> None:
    assert take(json.dumps(body(object={"type": kind})).encode()).id == "d1"


def test_class_numbers_are_people_where_they_are_configured() -> None:
    value = json.dumps(body(object={"type": 0})).encode()
    assert refused(value) is Reason.UNKNOWN_TYPE
    limits = replace(LIMITS, person_types=("person", "0"))
    assert one(record(value), limits).id == "d1"


@pytest.mark.parametrize(
    ("given", "taken"), [(0.863, 0.863), (86.3, 0.863), (100, 1.0), (1, 1.0), (-1, None),
                         (-0.1, None), (0, 0.0), (None, None)],
)  # fmt: skip
def test_a_confidence_is_a_share_or_none(given: float | None, taken: float | None) -> None:
    seen = take(json.dumps(body(object={"confidence": given})).encode())
    assert seen.confidence == pytest.approx(taken) if taken is not None else not seen.confidence


def _spellings() -> list[dict[str, str]]:
    plain = base64.b64encode(JPEG * 20).decode()
    return [
        {"mediaType": "image/jpeg", "data": plain},
        {"mediaType": "image/JPG", "data": plain},
        {"data": plain},
        {"mediaType": "image/jpeg", "data": f"data:image/jpeg;base64,{plain}"},
        {"data": f"data:image/jpg;base64,{plain}"},
        {"mediaType": "image/jpeg", "data": base64.encodebytes(JPEG * 20).decode()},
        {"mediaType": "image/jpeg", "data": base64.urlsafe_b64encode(JPEG * 20).decode()},
        {"mediaType": "image/jpeg", "data": plain.rstrip("=")},
    ]


@pytest.mark.parametrize("crop", _spellings())
def test_a_crop_is_one_picture_however_it_is_spelt(crop: dict[str, str]) -> None:
    made = record(json.dumps(body(crop=crop)).encode())
    assert one(made, LIMITS).crop == crop_in(made) == JPEG * 20


def test_a_list_of_one_object_is_that_object() -> None:
    whole = body()
    made = body(object=None) | {"objects": [whole["object"]]}
    assert take(json.dumps(made).encode()) == take(json.dumps(whole).encode())


def test_numbers_are_names() -> None:
    seen = take(json.dumps(body(id=7, sensorId=3)).encode())
    assert (seen.id, seen.camera) == ("7", "3")


def test_a_missing_id_follows_from_content_and_place() -> None:
    value = json.dumps(body(id=None)).encode()
    ids = {take(value).id, take(value).id}
    assert len(ids) == 1
    elsewhere = replace(record(value), offset=1)
    other = record(json.dumps(body(id=None, sensorId="c2")).encode())
    ids |= {one(elsewhere, LIMITS).id, one(other, LIMITS).id}
    assert len(ids) == 3


def test_vectors_nested_and_without_a_model() -> None:
    nested = body(crop=None, embedding={"vector": [[0.5, 1.5]], "model": "m"})
    seen = take(json.dumps(nested).encode())
    assert seen.vector is not None
    assert seen.vector.tolist() == [0.5, 1.5]
    nameless = json.dumps(body(crop=None, embedding={"vector": [0.5, 1.5]})).encode()
    with pytest.raises(BadRecord, match=r"input\.upstream_model"):
        take(nameless)
    assert one(record(nameless), replace(LIMITS, upstream_model="osnet@1")).model == "osnet@1"


def test_numbers_of_a_vector_may_be_texts() -> None:
    made = body(crop=None, embedding={"vector": [1, True, "2.5", 0.1], "model": "m"})
    seen = take(json.dumps(made).encode())
    assert seen.vector is not None
    assert seen.vector.tolist() == np.array([1.0, 1.0, 2.5, 0.1], np.float32).tolist()


def test_a_vector_that_is_too_long_is_refused_unread() -> None:
    made = body(crop=None, embedding={"vector": ["x"] * 16_385, "model": "m"})
    with pytest.raises(BadRecord, match="16385 numbers, not 1 to 16384"):
        take(json.dumps(made).encode())


def test_a_byte_order_mark_changes_nothing() -> None:
    value = json.dumps(body()).encode()
    assert take(b"\xef\xbb\xbf" + value) == take(value)
