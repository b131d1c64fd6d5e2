"""What detectors write of a sighting, by their own documents: a writer a format."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

Body = dict[str, Any]
WIDTH, HEIGHT = 1280, 720


@dataclass(frozen=True)
class Seen:
    """A person in a frame; box is left, top, right, bottom in whole pixels."""

    camera: str = "gate"
    time_s: float = 1_735_689_608.25
    track: int = 7
    box: tuple[int, int, int, int] = (100, 200, 180, 420)
    score: float = 0.875
    vector: tuple[float, ...] = (0.5, -1.25, 2.0)
    picture: bytes = b"\xff\xd8\xff\xe0 a picture"
    kind: str = "person"


def stamp(time_s: float, digits: int = 3) -> str:
    """RFC 3339 in UTC with so many digits of a second."""
    text = datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return text[: len(text) - 6 + digits] + "Z"


def _float32(vector: tuple[float, ...]) -> str:
    return base64.b64encode(np.array(vector, dtype="<f4").tobytes()).decode()


def _shares(seen: Seen) -> dict[str, float]:
    left, top, right, bottom = seen.box
    return {
        "left": left / WIDTH,
        "top": top / HEIGHT,
        "right": right / WIDTH,
        "bottom": bottom / HEIGHT,
    }


def nvschema(seen: Seen, *others: Seen) -> Body:
    return {
        "version": "4.0",
        "id": "112",
        "timestamp": stamp(seen.time_s),
        "sensorId": seen.camera,
        "objects": [_nv_object(each) for each in (seen, *others)],
        "fov": [],
        "info": {},
    }


def _nv_object(seen: Seen) -> Body:
    left, top, right, bottom = seen.box
    return {
        "id": str(seen.track),
        "bbox": {"leftX": left, "topY": top, "rightX": right, "bottomY": bottom},
        "type": seen.kind.title(),
        "confidence": seen.score,
        "info": {"visibility": "0.97"},
        "embedding": {"info": {}, "vector": list(seen.vector)},
        "dir": [],
        "speed": 0,
        "coordinate": None,
        "pose": None,
    }


def deepstream_full(seen: Seen, *others: Seen) -> Body:
    left, top, right, bottom = seen.box
    place = {"id": "1", "name": "hall", "type": "building", "location": {"lat": 0.0}}
    return {
        "messageid": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{seen}")),
        "mdsversion": "1.0",
        "@timestamp": stamp(seen.time_s),
        "place": place,
        "sensor": {"id": seen.camera, "type": "Camera", "location": {"lat": 0.0}},
        "analyticsModule": {"id": "XYZ", "version": "1.0"},
        "object": {
            "id": str(seen.track),
            "speed": 0.0,
            "direction": 0.0,
            "orientation": 0.0,
            seen.kind: {"age": 0, "gender": "", "confidence": seen.score},
            "bbox": {
                "topleftx": left,
                "toplefty": top,
                "bottomrightx": right,
                "bottomrighty": bottom,
            },
            "location": {},
            "coordinate": {},
            "pose": {},
            "embedding": {
                "embedding_length": len(seen.vector),
                "embedding_vector": list(seen.vector),
            },
        },
        "event": {"id": "e", "type": "moving"},
        "videoPath": "",
    }


def deepstream_minimal(seen: Seen, *others: Seen) -> Body:
    return {
        "version": "4.0",
        "id": "112",
        "@timestamp": stamp(seen.time_s),
        "sensorId": seen.camera,
        "objects": [_minimal_object(each) for each in (seen, *others)],
    }


def _minimal_object(seen: Seen) -> str:
    box = "|".join(str(side) for side in seen.box)
    vector = ",".join(str(number) for number in seen.vector)
    kind = seen.kind.title()
    return f"{seen.track}|{box}|{kind}|#|||||||{seen.score}|#|embedding|{vector}|"


def scenescape(seen: Seen, *others: Seen) -> Body:
    objects: dict[str, list[Body]] = {}
    for number, each in enumerate((seen, *others), 1):
        left, top, right, bottom = each.box
        objects.setdefault(each.kind, []).append(
            {
                "id": number,
                "category": each.kind,
                "confidence": each.score,
                "bounding_box_px": {
                    "x": left,
                    "y": top,
                    "width": right - left,
                    "height": bottom - top,
                },
                "metadata": {
                    "age": {"label": "39", "model_name": "age_gender"},
                    "reid": {
                        "embedding_vector": _float32(each.vector),
                        "embedding_dimensions": len(each.vector),
                        "model_name": "torch-jit-export",
                    },
                },
            }
        )
    return {"id": seen.camera, "timestamp": stamp(seen.time_s), "rate": 10.0, "objects": objects}


def axis_snapshot(seen: Seen, *others: Seen) -> Body:
    return {
        "channel_id": seen.camera,
        "class": {"type": seen.kind.replace("person", "Human").title(), "score": seen.score},
        "crop_box": _shares(seen),
        "data": base64.b64encode(seen.picture).decode(),
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{seen}")),
        "object_track_id": str(seen.track),
        "timestamp": stamp(seen.time_s, 6),
    }


def axis_frame(seen: Seen, *others: Seen) -> Body:
    """The beta's frame with pictures; it names no camera."""
    return {
        "frame": {
            "timestamp": stamp(seen.time_s, 6),
            "observations": [_observation(each) for each in (seen, *others)],
            "operations": [{"type": "DeleteOperation", "id": "3"}],
        }
    }


def _observation(seen: Seen) -> Body:
    kind = seen.kind.replace("person", "Human").title()
    return {
        "track_id": str(seen.track),
        "timestamp": stamp(seen.time_s, 6),
        "bounding_box": _shares(seen),
        "class": {"type": kind, "score": seen.score, "upper_clothing_colors": []},
        "image": {
            "data": base64.b64encode(seen.picture).decode(),
            "bounding_box": _shares(seen),
        },
    }


def frigate(seen: Seen, *others: Seen) -> Body:
    after = {
        "id": f"{seen.time_s:.6f}-{seen.track}",
        "camera": seen.camera,
        "frame_time": seen.time_s,
        "label": seen.kind,
        "sub_label": None,
        "top_score": 0.95,
        "false_positive": False,
        "score": seen.score,
        "box": list(seen.box),
        "snapshot": {"frame_time": seen.time_s, "box": list(seen.box), "score": seen.score},
        "thumbnail": base64.b64encode(seen.picture).decode(),
    }
    return {"type": "update", "before": {**after, "thumbnail": None}, "after": after}


def dlstreamer(seen: Seen, *others: Seen) -> Body:
    return {
        "objects": [_region(each) for each in (seen, *others)],
        "resolution": {"width": WIDTH, "height": HEIGHT},
        "source": seen.camera,
        "tags": {},
        "timestamp": 40_000_000,
        "rtp": {"sender_ntp_unix_timestamp_ns": round(seen.time_s * 1e3) * 1_000_000},
    }


def _region(seen: Seen) -> Body:
    left, top, right, bottom = seen.box
    shares = _shares(seen)
    detector = {"name": "detection", "model_name": "detect", "confidence": 0.9, "label_id": 1}
    reid = {
        "name": "inference_layer_name:reid_embedding",
        "layer_name": "reid_embedding",
        "model_name": "person-reidentification-retail-0277",
        "precision": "FP32",
        "dims": [1, len(seen.vector)],
        "data": list(seen.vector),
    }
    return {
        "detection": {
            "bounding_box": {
                "x_min": shares["left"],
                "y_min": shares["top"],
                "x_max": shares["right"],
                "y_max": shares["bottom"],
            },
            "confidence": seen.score,
            "label": seen.kind,
            "label_id": 1,
        },
        "id": seen.track,
        "region_id": 2319,
        "roi_type": seen.kind,
        "x": left,
        "y": top,
        "w": right - left,
        "h": bottom - top,
        "tensors": [detector, reid],
    }


def savant(seen: Seen, *others: Seen) -> Body:
    return {
        "type": "VideoFrame",
        "uuid": "30000000-0000-4000-8000-000000000000",
        "source_id": seen.camera,
        "creation_timestamp_ns": round(seen.time_s * 1e3) * 1_000_000,
        "framerate": "25/1",
        "width": WIDTH,
        "height": HEIGHT,
        "time_base": [1, 1_000_000_000],
        "pts": 40_000_000,
        "content": None,
        "attributes": [],
        "objects": [_video_object(each) for each in (seen, *others)],
    }


def _video_object(seen: Seen) -> Body:
    left, top, right, bottom = seen.box
    value = {"confidence": None, "value": {"FloatVector": list(seen.vector)}}
    return {
        "id": 0,
        "namespace": "yolo",
        "label": seen.kind,
        "confidence": seen.score,
        "track_id": seen.track,
        "detection_box": {
            "xc": (left + right) / 2,
            "yc": (top + bottom) / 2,
            "width": right - left,
            "height": bottom - top,
            "angle": 3.4028234663852886e38,
        },
        "attributes": [
            {"namespace": "age", "name": "years", "values": [{"value": {"Float": 31.5}}]},
            {"namespace": "osnet", "name": "feature", "values": [value], "hint": None},
        ],
    }


def onvif(seen: Seen, *others: Seen) -> Body:
    return {
        "Frame": [
            {
                "@UtcTime": stamp(seen.time_s, 6),
                "@Source": seen.camera,
                "Object": [_onvif_object(each) for each in (seen, *others)],
            }
        ]
    }


def _onvif_object(seen: Seen) -> Body:
    shares = _shares(seen)
    kind = seen.kind.replace("person", "Human").title()
    box = {
        "@left": str(2 * shares["left"] - 1),
        "@top": str(1 - 2 * shares["top"]),
        "@right": str(2 * shares["right"] - 1),
        "@bottom": str(1 - 2 * shares["bottom"]),
    }
    return {
        "@ObjectId": str(seen.track),
        "Appearance": {
            "Shape": {"BoundingBox": box, "CenterOfGravity": {"@x": "0", "@y": "0"}},
            "Class": {"Type": [{"@Likelihood": str(seen.score), "#text": kind}]},
            "Image": base64.b64encode(seen.picture).decode(),
        },
    }


# By the name of a format and of a variant of it.
WRITERS: dict[str, Callable[..., Body]] = {
    "nvschema": nvschema,
    "deepstream full": deepstream_full,
    "deepstream minimal": deepstream_minimal,
    "scenescape": scenescape,
    "axis snapshot": axis_snapshot,
    "axis frame": axis_frame,
    "frigate": frigate,
    "dlstreamer": dlstreamer,
    "savant": savant,
    "onvif": onvif,
}
ONE_A_MESSAGE = ("deepstream full", "axis snapshot", "frigate")
WITH_PICTURES = ("axis snapshot", "axis frame", "frigate", "onvif")


def written(name: str, seen: Seen, *others: Seen) -> bytes:
    """A message as it goes over the wire."""
    return json.dumps(WRITERS[name](seen, *others)).encode()


def walk(n_people: int = 12) -> list[Seen]:
    """People who go from the gate through the hall to the lift, three boxes in each, by time."""
    rng = np.random.default_rng(1)
    seen = []
    for person in range(n_people):
        look, start_s = rng.normal(size=16), 1_767_270_000.0 + 9.0 * person
        for step, camera in enumerate(("gate", "hall", "lift")):
            at_s = start_s + step * 20.0 + float(rng.uniform(-3, 3))
            for box in range(3):
                vector = tuple(round(float(x), 3) for x in look + 0.15 * rng.normal(size=16))
                left = 100 + 40 * box
                place = (left, 200, left + 80, 420)
                time_s = round(at_s + 0.5 * box, 3)
                seen.append(Seen(camera, time_s, person + 1, place, 0.9, vector))
    return sorted(seen, key=lambda each: each.time_s)


# The files of messages in examples/, by the writers above.
EXAMPLES = {"deepstream": "deepstream minimal", "scenescape": "scenescape"}


def example(name: str) -> bytes:
    """The lines of a file of examples."""
    return b"".join(written(EXAMPLES[name], seen) + b"\n" for seen in walk())
