"""What products write beside the usual: versions, options, and what they leave out."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stgal_stream.log.port import Partition, Record
from stgal_stream.settings import InputSettings
from stgal_stream.types import Reason
from stgal_stream.wire.detection import Decoded, decode
from stgal_stream.wire.fields import BadRecord
from stgal_stream.wire.raw_detection import DetectionMessage
from tests.support.detector_messages import (
    Body,
    Seen,
    axis_frame,
    axis_snapshot,
    deepstream_full,
    deepstream_minimal,
    dlstreamer,
    frigate,
    nvschema,
    onvif,
    savant,
    scenescape,
    stamp,
)

INPUTS = InputSettings(max_future_s=float("inf"))
SEEN = Seen()


def frame(body: Body, inputs: InputSettings = INPUTS, topic: str | None = None) -> Decoded:
    headers = () if topic is None else (("mqtt.topic", topic.encode()),)
    value = json.dumps(body).encode()
    return decode(Record(Partition("d", 0), 0, None, value, headers, 1.8e9), inputs)


def one(body: Body, inputs: InputSettings = INPUTS, topic: str | None = None) -> DetectionMessage:
    found = frame(body, inputs, topic)
    assert found.faults == ()
    (message,) = found.messages
    return message


def refused(body: Body, inputs: InputSettings = INPUTS) -> BadRecord:
    (fault,) = frame(body, inputs).faults
    return fault


# --- NVIDIA ----------------------------------------------------------------------------------

BOX = "7|100.5|200|180|420.25|Person"
VECTOR = "|#|embedding|0.5,-1.25,2|"


@pytest.mark.parametrize(
    ("text", "score"),
    [
        (BOX + VECTOR, None),  # 5.0 to 6.3 without attributes
        (BOX + "|#|male|31|black|none|formal|0.75" + VECTOR, 0.75),
        (BOX + "|#|male|31|black|none|formal|0.75|#|pose2D|nose,1,2,0.9|" + VECTOR, 0.75),
        (BOX + "|#||||||" + VECTOR, None),
        (BOX + "|0.75|#||||||" + VECTOR, 0.75),  # 7.0
        (BOX + "|#|||||||0.75" + VECTOR, 0.75),  # 8.0 and later
        (BOX + "|#|m|31|b|n|f|#|pose2D|nose,1,2,0.9||0.75" + VECTOR, 0.75),
        (BOX + "|#|||||||0.75" + VECTOR + "#|SV3DT|0.9|1,2|3,4|5,6|", 0.75),
        (BOX + "|#|||||||-0.1" + VECTOR, None),
    ],
)
def test_deepstream_minimal_of_every_version(text: str, score: float | None) -> None:
    seen = one({**deepstream_minimal(SEEN), "objects": [text, ""]})
    assert seen.confidence == score
    assert seen.track_id == "7"
    assert seen.vector is not None
    assert seen.vector.tolist() == [0.5, -1.25, 2.0]
    assert seen.box is not None
    assert seen.box.bottom_px == 420.25


def test_sv3dt_may_stick_to_the_score() -> None:
    body = {**deepstream_minimal(SEEN), "objects": [BOX + "|#|||||||0.75#|SV3DT|0.9|1,2|3,4|5|"]}
    assert refused(body).reason is Reason.POSITION_ONLY


@pytest.mark.parametrize("text", ["", "7", "7|a|b|c|d|Person", BOX + "|#|embedding|x,y|"])
def test_deepstream_minimal_that_is_none(text: str) -> None:
    found = frame({**deepstream_minimal(SEEN), "objects": [text, BOX + VECTOR]})
    assert len(found.messages) == 1
    assert len(found.faults) == (text != "")


def test_deepstream_full_of_the_new_interface_and_of_signatures() -> None:
    body = deepstream_full(SEEN)
    thing = body["object"]
    del thing["person"], thing["embedding"]
    body["object"] = {**thing, "Person": {}, "signature": [1.0, 2.0]}
    seen = one(body)
    assert seen.confidence is None
    assert seen.vector is not None
    assert seen.vector.tolist() == [1.0, 2.0]
    assert one({**body, "customMessage": ["objects"]}).vector is not None


def test_deepstream_without_a_camera_is_told() -> None:
    body = deepstream_full(SEEN)
    with pytest.raises(BadRecord, match="sensor is missing"):
        frame({**body, "sensor": None})


def test_deepstream_without_a_class_is_no_person() -> None:
    body = deepstream_full(SEEN)
    del body["object"]["person"]
    assert frame(body).n_others == 1


@pytest.mark.parametrize("track", ["18446744073709551615", -1, "-1", 18446744073709551615])
@pytest.mark.parametrize("write", [nvschema, deepstream_full, deepstream_minimal])
def test_no_tracker_is_no_track(write: Any, track: Any) -> None:
    body = write(replace(SEEN, track=track))
    assert one(body).track_id is None


def test_protobuf_made_json_leaves_zeros_out() -> None:
    body = nvschema(SEEN)
    thing = body["objects"][0]
    body["objects"] = [{**thing, "bbox": {"rightX": 5.0, "bottomY": 9.0}, "confidence": 0}]
    seen = one(body)
    assert (seen.box.left_px, seen.box.top_px) == (0.0, 0.0)  # type: ignore[union-attr]
    assert seen.confidence is None
    body["objects"][0]["bbox"] = {}
    assert one(body).box is None
    body["objects"][0]["embedding"] = {"info": {}, "vector": []}
    assert refused(body).reason is Reason.POSITION_ONLY
    body["objects"][0]["embedding"] = [1.0, 2.0]  # as the tracking reference saves it
    assert one(body).vector is not None


def test_vectors_of_detectors_are_named_by_their_pipeline() -> None:
    assert one(nvschema(SEEN)).model == "nvschema-3"
    assert one(nvschema(SEEN), replace(INPUTS, upstream_model="osnet")).model == "osnet"


# --- Intel -----------------------------------------------------------------------------------


def _with_reid(**changes: object) -> Body:
    body = scenescape(SEEN)
    body["objects"]["person"][0].update(changes)
    return body


def test_scenescape_of_every_version() -> None:
    text = base64.b64encode(np.array([1, 2], "<f4").tobytes()).decode()
    for reid in (
        {"metadata": None, "reid": text},  # 1.3
        {"metadata": {"reid": text}},
        {"metadata": {"reid": [1.0, 2.0]}},
        {"metadata": {"reid": {"embedding_vector": [[1.0, 2.0]], "dimensions": 2}}},
    ):
        seen = one(_with_reid(**reid))
        assert seen.vector is not None
        assert seen.vector.tolist() == [1.0, 2.0]
        assert seen.model == "scenescape-2"
    bad = {"metadata": {"reid": {"embedding_vector": [1.0], "embedding_dimensions": 2}}}
    assert refused(_with_reid(**bad)).reason is Reason.BAD_VECTOR


def test_dlstreamer_tells_clock_time_in_many_ways() -> None:
    body = dlstreamer(SEEN)
    del body["rtp"]
    ns = round(SEEN.time_s * 1e3) * 1_000_000
    assert one({**body, "time": ns}).time_s == pytest.approx(SEEN.time_s)
    text = stamp(SEEN.time_s).replace("Z", ":+0000")
    assert one({**body, "system_timestamp": text}).time_s == pytest.approx(SEEN.time_s)
    wrapped = {"metadata": {**body, "time": ns, "frame_id": 3}, "blob": ""}
    assert one(wrapped).time_s == pytest.approx(SEEN.time_s)


def test_what_counts_from_its_beginning_needs_to_be_told_when_that_was() -> None:
    body = dlstreamer(SEEN)
    del body["rtp"]
    fault = refused(body)
    assert fault.reason is Reason.BAD_TIMESTAMP
    assert "input.stream_start" in fault.detail
    known = replace(INPUTS, stream_start="2026-01-31T12:00:00+01:00")
    assert one(body, known).time_s == 1_769_857_200.04
    assert one(body, replace(INPUTS, stream_start="arrival")).time_s == 1.8e9
    with pytest.raises(ValueError, match="stream_start"):
        InputSettings(stream_start="2026-01-31T12:00:00")


@pytest.mark.parametrize(
    "body",
    [
        {**dlstreamer(SEEN), "timestamp": 10**400},
        {**savant(SEEN), "creation_timestamp_ns": 10**400},
        {**savant(SEEN), "pts": 10**400},
    ],
)
def test_a_time_of_hundreds_of_digits_is_refused(body: Body) -> None:
    try:
        fault = refused(body)
    except BadRecord as whole:  # Savant's time is the frame's
        fault = whole
    assert fault.reason is Reason.BAD_TIMESTAMP
    assert "out of range" in fault.detail


def test_dlstreamer_tensors_of_newer_versions_and_of_two_models() -> None:
    body = dlstreamer(SEEN)
    newer = {"name": "tensor", "tensor_name": "x", "semantic_tag": "osnet", "data": [1.0, 2.0]}
    body["objects"][0]["tensors"] = [newer]
    assert one(body).model == "osnet"
    body["objects"][0]["tensors"] = [newer, {**newer, "semantic_tag": "pose"}]
    fault = refused(body)
    assert fault.reason is Reason.BAD_VECTOR
    assert "osnet, pose" in fault.detail or "tensor" in fault.detail
    body["objects"][0]["tensors"] = [newer, {**newer, "tensor_name": "reid_out"}]
    assert one(body).model == "osnet"


# --- Savant, Axis, Frigate, ONVIF ------------------------------------------------------------


def test_savant_without_a_creation_time() -> None:
    body = {**savant(SEEN), "creation_timestamp_ns": 55}
    assert refused(body).reason is Reason.BAD_TIMESTAMP
    made = f"{round(SEEN.time_s * 1e3):012x}"
    body["uuid"] = f"{made[:8]}-{made[8:]}-7f67-8f76-ab0402fda78e"
    assert one(body).time_s == pytest.approx(SEEN.time_s, abs=1e-3)


def test_savant_lines_of_its_sink() -> None:
    box = {"xc": 140.0, "yc": 310.0, "width": 80, "height": 220, "angle": 0.0}
    vector = {"element_name": "osnet", "name": "feature", "value": [1.0, 2.0]}
    thing = {
        "model_name": "yolo", "label": "person", "object_id": 18446744073709551615,
        "bbox": box, "confidence": 0.5, "attributes": [vector],
    }  # fmt: skip
    body = {
        "source_id": "gate", "pts": 40_000_000, "framerate": "30/1", "schema": "VideoFrame",
        "metadata": {"objects": [thing]}, "frame_num": 1,
    }  # fmt: skip
    seen = one(body, replace(INPUTS, stream_start="arrival"))
    assert (seen.camera, seen.track_id, seen.model) == ("gate", None, "osnet")


def test_axis_of_the_first_version() -> None:
    box = {"left": 0.1, "top": 0.2, "right": 0.3, "bottom": 0.9}
    detection = {
        "bounding_box": box, "object_track_id": "8e65", "class": {"type": "Human", "score": 0.7}
    }  # fmt: skip
    body = {"channel_id": 1, "timestamp": stamp(SEEN.time_s, 6), "detections": [detection]}
    assert refused(body).reason is Reason.POSITION_ONLY
    assert frame({"channel_id": 1, "timestamp": stamp(SEEN.time_s, 6)}).messages == ()
    snapshot = axis_snapshot(replace(SEEN, camera="1"))
    seen = one(snapshot, topic="axis/ACCC8E012345/snapshots")
    assert seen.camera == "ACCC8E012345/1"
    assert one(snapshot, topic="hall/frames").camera == "hall/frames/1"
    del snapshot["class"]
    assert frame(snapshot).n_others == 1
    taken = replace(INPUTS, person_types=("human", "unclassified"))
    assert one(snapshot, taken).crop == SEEN.picture


def test_axis_tracks_and_the_oldest_wrapping() -> None:
    picture = base64.b64encode(SEEN.picture).decode()
    box = {"left": 0.1, "top": 0.2, "right": 0.3, "bottom": 0.9}
    track = {
        "channel_id": 1, "id": "25436c51", "start_time": stamp(SEEN.time_s, 6), "duration": 2.5,
        "classes": [{"type": "Human", "score": 0.5}, {"type": "Car", "score": 0.4}],
        "image": {"crop_box": box, "data": picture}, "parts": [{"object_track_id": "7ef2"}],
    }  # fmt: skip
    seen = one(track)
    assert (seen.track_id, seen.crop, seen.confidence) == ("7ef2", SEEN.picture, 0.5)
    del track["image"]
    assert refused(track).reason is Reason.POSITION_ONLY
    assert one({"data": axis_frame(SEEN)}, topic="axis/S/frame").camera == "S"


def test_frigate_does_not_publish_what_it_takes_back() -> None:
    body = frigate(SEEN)
    body["after"]["false_positive"] = True
    found = frame(body)
    assert (found.messages, found.faults) == ((), ())


def _renamed(value: object, name: Any) -> object:
    if isinstance(value, dict):
        return {name(k): _renamed(v, name) for k, v in value.items()}
    if isinstance(value, list):
        return [_renamed(each, name) for each in value]
    return value


def test_onvif_in_the_spellings_of_converters() -> None:
    body = onvif(SEEN)
    plain = one(body)
    bare = _renamed(body, lambda key: key.removeprefix("@"))
    prefixed = _renamed(body, lambda key: key if key[0] in "@#" else f"tt:{key}")
    alone = {"Frame": body["Frame"][0] | {"Object": body["Frame"][0]["Object"][0]}}
    wrapped = {"tt:MetadataStream": {"tt:VideoAnalytics": prefixed}}
    for other in (bare, prefixed, alone, wrapped):
        seen = one(other)  # type: ignore[arg-type]
        assert (seen.camera, seen.time_s, seen.track_id, seen.box, seen.crop) == (
            plain.camera, plain.time_s, plain.track_id, plain.box, plain.crop,
        )  # fmt: skip


def test_onvif_in_pixels_with_a_transformation() -> None:
    body = onvif(SEEN)
    shape = body["Frame"][0]["Object"][0]["Appearance"]["Shape"]
    left, top, right, bottom = SEEN.box
    shape["BoundingBox"] = {"@left": left, "@top": top, "@right": right, "@bottom": bottom}
    body["Frame"][0]["Transformation"] = {
        "Translate": {"@x": -1, "@y": 1},
        "Scale": {"@x": 2 / 1280, "@y": -2 / 720},
    }
    found, expected = one(body).box, one(onvif(SEEN)).box
    assert found is not None
    assert expected is not None
    for side in ("left_px", "top_px", "right_px", "bottom_px"):
        assert getattr(found, side) == pytest.approx(getattr(expected, side))


def test_onvif_takes_the_likeliest_class() -> None:
    body = onvif(SEEN)
    kind = body["Frame"][0]["Object"][0]["Appearance"]["Class"]
    kind["Type"] = [{"#text": "Human", "@Likelihood": "0.2"}, {"#text": "Bike", "@Likelihood": 0.7}]
    assert frame(body).n_others == 1
    del kind["Type"]
    kind["ClassCandidate"] = {"Type": "Human", "Likelihood": 0.5}
    assert one(body).confidence == 0.5
    del kind["ClassCandidate"]
    assert frame(body).n_others == 1
