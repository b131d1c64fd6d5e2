"""Each format says the same of a sighting; frames, positions without a look, and what is broken."""

from __future__ import annotations

import contextlib
import json
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgal_stream.log.port import Partition, Record
from stgal_stream.settings import FORMATS, InputSettings
from stgal_stream.types import Reason
from stgal_stream.wire.detection import Decoded, crop_in, decode
from stgal_stream.wire.fields import BadRecord
from stgal_stream.wire.raw_detection import DetectionMessage
from tests.support.detector_messages import (
    HEIGHT,
    ONE_A_MESSAGE,
    WIDTH,
    WITH_PICTURES,
    WRITERS,
    Seen,
    written,
)
from tests.support.hostile import broken

INPUTS = InputSettings(max_future_s=float("inf"))
NAMES = sorted(WRITERS)
FRAMES = [name for name in NAMES if name not in ONE_A_MESSAGE]
IN_SHARES = ("axis snapshot", "axis frame", "onvif")
SOURCE_TOPIC = (("mqtt.topic", b"axis/ACCC8E012345/frame"),)


def record(value: bytes, topic: tuple[tuple[str, bytes], ...] = ()) -> Record:
    return Record(Partition("detections", 0), 5, None, value, topic, 1.7e9)


def decoded(name: str, value: bytes, inputs: InputSettings = INPUTS) -> Decoded:
    return decode(record(value, SOURCE_TOPIC if name == "axis frame" else ()), inputs)


def of(name: str) -> str:
    return name.split()[0]


numbers = st.floats(-4, 4, width=16).map(float)
sightings = st.builds(
    Seen,
    camera=st.from_regex(r"[a-z][a-z0-9_-]{0,20}", fullmatch=True),
    time_s=st.integers(1_000_000_000_000, 2_000_000_000_000).map(lambda ms: ms / 1e3),
    track=st.integers(0, 10**6),
    box=st.tuples(
        st.integers(0, 600), st.integers(0, 300), st.integers(601, 1280), st.integers(301, 720)
    ),
    score=st.integers(1, 1000).map(lambda parts: parts / 1000),
    vector=st.lists(numbers, min_size=2, max_size=8)
    .filter(lambda v: any(abs(x) > 1e-3 for x in v))
    .map(tuple),
    picture=st.binary(max_size=40).map(lambda rest: b"\xff\xd8\xff\xe0" + rest),
)


@pytest.mark.parametrize("name", NAMES)
@given(seen=sightings)
def test_every_format_says_the_same(name: str, seen: Seen) -> None:
    found = decoded(name, written(name, seen))
    assert found.format == of(name)
    assert (found.faults, found.n_others) == ((), 0)
    (message,) = found.messages
    _check(name, seen, message)


def _check(name: str, seen: Seen, message: DetectionMessage) -> None:
    assert message.camera == ("ACCC8E012345" if name == "axis frame" else seen.camera)
    assert message.time_s == pytest.approx(seen.time_s, abs=2e-3)
    if name == "scenescape":
        assert message.track_id is None
    elif name == "frigate":
        assert message.track_id == f"{seen.time_s:.6f}-{seen.track}"
    else:
        assert message.track_id == str(seen.track)
    assert message.confidence == pytest.approx(seen.score, abs=1e-6)
    _check_look(name, seen, message)
    _check_box(name, seen, message)


def _check_look(name: str, seen: Seen, message: DetectionMessage) -> None:
    if name in WITH_PICTURES:
        assert message.crop == seen.picture
        assert message.vector is None
        return
    assert message.crop is None
    assert message.vector is not None
    assert message.vector.tolist() == np.array(seen.vector, np.float32).tolist()
    assert message.model


def _check_box(name: str, seen: Seen, message: DetectionMessage) -> None:
    """The box, but for the size of the picture that shares of it do not tell."""
    box = message.box
    assert box is not None
    found = np.array([box.left_px, box.top_px, box.right_px, box.bottom_px])
    if name == "onvif":  # -1 to 1
        found = (found + 1) / 2
    scale = np.array([WIDTH, HEIGHT] * 2) if name in IN_SHARES else 1
    assert found * scale == pytest.approx(np.array(seen.box, float), abs=1e-6 * WIDTH)


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_holds_many_people_and_other_things(name: str) -> None:
    others = (Seen(track=8, vector=(3.0, 1.0)), Seen(kind="chair"), Seen(track=9, kind="bag"))
    found = decoded(name, written(name, Seen(), *others))
    assert (len(found.messages), found.n_others, found.faults) == (2, 2, ())
    ids = {message.id for message in found.messages}
    assert len(ids) == 2
    again = decoded(name, written(name, Seen(), *others))
    assert {message.id for message in again.messages} == ids  # delivered twice, it is the same


@pytest.mark.parametrize("name", ONE_A_MESSAGE)
def test_what_is_no_person_is_counted_and_no_fault(name: str) -> None:
    found = decoded(name, written(name, Seen(kind="car")))
    assert (found.messages, found.faults, found.n_others) == ((), (), 1)


@pytest.mark.parametrize("name", NAMES)
def test_two_sightings_have_two_ids(name: str) -> None:
    seen = [Seen(), Seen(camera="hall"), Seen(time_s=Seen().time_s + 0.5), Seen(track=8)]
    ids = [decoded(name, written(name, each)).messages[0].id for each in seen]
    same = {"axis frame": 2, "frigate": 1}.get(name, 0)  # the first names no camera here
    in_frame = name not in ONE_A_MESSAGE  # a frame's only object is its first
    assert len(set(ids)) >= 4 - same - in_frame


@pytest.mark.parametrize("name", NAMES)
def test_one_bad_object_does_not_take_the_frame_with_it(name: str) -> None:
    if name in ONE_A_MESSAGE:
        bad = replace(Seen(), vector=(0.0, 0.0), picture=b"not a picture")
        found = decoded(name, written(name, bad))
        assert (len(found.messages), len(found.faults)) == (0, 1)
        return
    bad = replace(Seen(), track=8, vector=(0.0, 0.0), picture=b"not a picture")
    found = decoded(name, written(name, Seen(), bad))
    assert (len(found.messages), len(found.faults)) == (1, 1)


LOOKS = ("embedding", "signature", "data", "image", "thumbnail", "Image", "tensors", "metadata")


def _without_look(value: object) -> object:
    if isinstance(value, dict):
        return {k: _without_look(v) for k, v in value.items() if k not in LOOKS}
    if isinstance(value, list):
        return [_without_look(each) for each in value]
    if isinstance(value, str):
        return value.split("|#|embedding")[0]
    return value


@pytest.mark.parametrize("name", [name for name in NAMES if name != "axis snapshot"])
def test_a_position_alone_is_refused_and_told_what_to_switch_on(name: str) -> None:
    body = _without_look(json.loads(written(name, Seen())))
    if name == "savant":
        body["objects"][0]["attributes"] = []  # type: ignore[index]
    (fault,) = decoded(name, json.dumps(body).encode()).faults
    assert fault.reason is Reason.POSITION_ONLY
    product = {"nvschema": "nvschema", "dlstreamer": "gvametaconvert", "onvif": "ONVIF"}
    assert product.get(of(name), of(name)).lower() in fault.detail.lower()
    assert len(fault.detail) > 60


@pytest.mark.parametrize("name", NAMES)
def test_a_format_that_is_configured_refuses_the_others(name: str) -> None:
    value = written(name, Seen())
    right = replace(INPUTS, format=of(name))
    assert len(decoded(name, value, right).messages) == 1
    for other in FORMATS:
        if other != of(name):
            with pytest.raises(BadRecord, match=f"looks like {of(name)}"):
                decoded(name, value, replace(INPUTS, format=other))


@pytest.mark.parametrize("name", NAMES)
def test_an_array_of_messages_is_all_of_them(name: str) -> None:
    parts = [written(name, Seen(track=track, camera=f"c{track}")) for track in (1, 2, 3)]
    found = decoded(name, b"[" + b",".join(parts) + b"]")
    assert (found.format, len(found.messages)) == (of(name), 3)


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_of_too_many_is_refused(name: str) -> None:
    crowd = [Seen(track=track) for track in range(11)]
    few = replace(INPUTS, max_objects=10)
    assert len(decoded(name, written(name, *crowd[:10]), few).messages) == 10
    with pytest.raises(BadRecord, match="more than 10 objects") as caught:
        decoded(name, written(name, *crowd), few)
    assert caught.value.reason is Reason.RECORD_TOO_LARGE


@pytest.mark.parametrize("name", WITH_PICTURES)
def test_the_crop_is_found_again(name: str) -> None:
    assert crop_in(record(written(name, Seen()))) == Seen().picture
    if name in FRAMES:
        with pytest.raises(BadRecord, match="2 pictures"):
            crop_in(record(written(name, Seen(), Seen(track=8))))


def test_a_vector_of_ours_is_no_crop() -> None:
    assert crop_in(record(written("savant", Seen()))) is None


def test_no_login_of_a_camera_is_kept() -> None:
    value = written("dlstreamer", Seen(camera="rtsp://admin:hunter2@10.0.0.7/live"))
    (message,) = decoded("dlstreamer", value).messages
    assert message.camera == "rtsp://10.0.0.7/live"
    assert "hunter2" not in message.id


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"name": "person", "class": 0, "confidence": 0.9, "box": {"x1": 1}}, "Ultralytics"),
        ({"image_id": 0, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.9}, "COCO"),
        ({"hello": 1, "world": 2}, "its keys are hello, world"),
        ({}, "its keys are none"),
    ],
)
def test_what_no_codec_answers_to_is_told_what_it_is(value: object, said: str) -> None:
    for content in (json.dumps(value), json.dumps([value])):
        with pytest.raises(BadRecord, match=said):
            decode(record(content.encode()), INPUTS)


@pytest.mark.parametrize("name", NAMES)
def test_whatever_is_done_to_a_message_it_is_taken_or_refused(name: str) -> None:
    chance = random.Random(f"{name} 1")
    good = written(name, Seen(), Seen(track=8))
    n_taken = 0
    for _ in range(2_000):
        with contextlib.suppress(BadRecord):
            found = decoded(name, broken(good, chance))
            n_taken += 1
            for message in found.messages:
                assert np.isfinite(message.time_s)
                assert message.id
                assert message.camera
    assert 100 < n_taken < 1_900
