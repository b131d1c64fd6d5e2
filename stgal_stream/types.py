"""The things that travel through the system. Frozen, plain, without behaviour of their own."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]  # (D,)
Vectors = NDArray[np.float32]  # (N, D)
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]
CameraPair = tuple[str, str]  # unordered: see camera_pair
Pair = tuple[int, int]  # two tracklets by number, the lower first


@dataclass(frozen=True, slots=True)
class Position:
    """Where a record lies in the log."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Box:
    """A bounding box in pixels of its camera's picture, right and bottom exclusive."""

    left_px: float
    top_px: float
    right_px: float
    bottom_px: float


@dataclass(frozen=True, slots=True)
class Detection:
    """One person seen by one camera at one time, embedded.

    ``time_s`` is event time in Unix seconds, ``track_id`` the camera's own track (None where the
    camera does not track), ``embedding`` has shape (D,), ``extractor`` is the version that made
    it, ``position`` where the crop lies in the log, ``late_s`` how far behind the site's watermark
    the detection came. ``weight`` is what it counts in its tracklet, beside the others.
    """

    id: str
    camera: str
    time_s: float
    embedding: Vector
    extractor: str
    track_id: str | None = None
    box: Box | None = None
    confidence: float | None = None
    position: Position | None = None
    late_s: float = 0.0
    weight: float = 1.0

    @property
    def due_s(self) -> float:
        """The event time at which it counts."""
        return self.time_s + self.late_s


@dataclass(frozen=True, slots=True)
class Tracklet:
    """One person in one camera without a break: ``start_s`` and ``end_s`` are its first and last
    detection; ``embedding`` (D,) is the detections' mean; ``position`` is its best crop's. Where a
    long track was cut, ``track_start_s`` is when the whole of it began. ``late_s`` is how far
    behind the watermark its detections came, at most."""

    number: int
    camera: str
    start_s: float
    end_s: float
    embedding: Vector
    extractor: str
    detection_ids: tuple[str, ...]
    track_id: str | None = None
    box: Box | None = None
    position: Position | None = None
    track_start_s: float | None = None
    late_s: float = 0.0

    @property
    def id(self) -> str:
        """The first detection's id: it names the tracklet wherever a name is needed."""
        return self.detection_ids[0]

    @property
    def in_view_from_s(self) -> float:
        """Since when the person has been in view."""
        return self.start_s if self.track_start_s is None else self.track_start_s


class Reason(StrEnum):
    """Why a record was not used. The values are the dead letters' reason codes."""

    UNREADABLE = "unreadable"
    NOT_JSON = "not_json"
    SCHEMA = "schema"
    UNKNOWN_TYPE = "unknown_type"
    POSITION_ONLY = "position_only"
    BAD_IMAGE = "bad_image"
    IMAGE_TOO_LARGE = "image_too_large"
    RECORD_TOO_LARGE = "record_too_large"
    BAD_BOX = "bad_box"
    BAD_TIMESTAMP = "bad_timestamp"
    FUTURE_TIMESTAMP = "future_timestamp"
    LATE = "late"
    DUPLICATE_ID = "duplicate_id"
    FOREIGN_EMBEDDING = "foreign_embedding"
    BAD_VECTOR = "bad_vector"
    TOO_MANY_OPEN = "too_many_open"
    TOO_MANY_CAMERAS = "too_many_cameras"
    TOO_MANY_SITES = "too_many_sites"


# Of each reason: what happened, and what to do.
REASONS = {
    Reason.UNREADABLE: (
        "What lies at this place of the log cannot be read: its bytes have changed since.",
        "Check the disk; the record is lost unless its producer sends it again.",
    ),
    Reason.NOT_JSON: ("The record is not JSON.", "Look at what the producer writes."),
    Reason.SCHEMA: (
        "A field is missing or has another type.",
        "Compare the message with the schema; the detail names the field.",
    ),
    Reason.UNKNOWN_TYPE: (
        "The object is no person, or the crop or schema is of an unknown type.",
        "Filter at the producer, or send JPEG, PNG or WebP.",
    ),
    Reason.POSITION_ONLY: (
        "The record says where people are, but brings neither a crop nor a vector.",
        "The detail says what to switch on in the product that wrote it.",
    ),
    Reason.BAD_IMAGE: ("The crop cannot be decoded.", "Check the producer's encoder."),
    Reason.IMAGE_TOO_LARGE: (
        "The crop has too many bytes or pixels.",
        "Send the person's box, not the frame; or raise `embed.max_crop_pixels`.",
    ),
    Reason.RECORD_TOO_LARGE: ("The record has too many bytes.", "As above."),
    Reason.BAD_BOX: ("The box has no area or impossible coordinates.", "Check the detector."),
    Reason.BAD_TIMESTAMP: (
        "The timestamp is no RFC 3339 time with an offset and no Unix time, or lies before 1970 or "
        "after 2199.",
        "Send for example `2026-01-31T12:00:00.250Z`; `input.timestamp_zone` is for times without "
        "an offset.",
    ),
    Reason.FUTURE_TIMESTAMP: (
        "The timestamp lies ahead of the record's arrival by more than `input.max_future_s`.",
        "Set the camera's clock; a smaller error is found and corrected.",
    ),
    Reason.LATE: (
        "The detection is older than the window: what it belongs to is forgotten.",
        "Look for a producer that was offline; `associate.window_s` can be raised.",
    ),
    Reason.DUPLICATE_ID: (
        "A detection of this id was used already.",
        "Nothing, if the producer sends again after a fault; else make ids unique.",
    ),
    Reason.FOREIGN_EMBEDDING: (
        "The embedding is of another model or size than the site's.",
        "Use one model for a site; after a window without the old one the new one takes over.",
    ),
    Reason.BAD_VECTOR: (
        "The embedding is empty, zero, not finite, or not made of float32 numbers.",
        "Check what embeds.",
    ),
    Reason.TOO_MANY_OPEN: (
        "More detections wait than `associate.max_open_tracklets`.",
        "Look for a clock far ahead, or raise the limit.",
    ),
    Reason.TOO_MANY_CAMERAS: (
        "The site has more cameras than `associate.max_cameras`.",
        "Check that `sensorId` names a camera and does not change with every record.",
    ),
    Reason.TOO_MANY_SITES: (
        "There are more sites than `associate.max_sites`.",
        "Check that `site` names a site and does not change with every record.",
    ),
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why two tracklets are held to be one person: equations 1, 4 and 5, and the runner-up: the
    most probable other tracklet, of another identity, that may be a pseudo-pair."""

    partner: Tracklet
    p_visual: float
    p_travel: float
    p_association: float
    travel_time_s: float
    log_odds: float
    travel_time_version: str
    runner_up: Tracklet | None = None
    runner_up_p_association: float = 0.0


@dataclass(frozen=True, slots=True)
class IdentityEvent:
    """``created``, ``joined``, ``renamed``, ``static``, ``ended`` or ``erased``, at event time
    ``at_s``. An identity that is ``static`` is no person: what it is of never moves. Who keeps
    anything of an identity that is erased deletes it.

    A rename without a tracklet is of a whole identity (a merge); with one, that tracklet alone
    moves (a correction, or with evidence None its identity is parted). ``operator_correction`` is
    the id of the operator's correction that it obeys.
    """

    kind: str
    at_s: float
    global_id: str
    from_id: str | None = None
    tracklet: Tracklet | None = None
    evidence: Evidence | None = None
    operator_correction: str | None = None


@dataclass(frozen=True, slots=True)
class AssociationEvent:
    """A pseudo-pair that best-buddies search ``accepted`` or has ``withdrawn``."""

    kind: str
    at_s: float
    query: Tracklet
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Refusal:
    """A detection that the tracker could not use, and why."""

    detection: Detection
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class CalibrationEvent:
    """What a calibration has learned, at event time ``at_s``; ``facts`` is what
    ``core.tracker.report.report`` tells."""

    at_s: float
    facts: dict[str, Any]


class Verdict(StrEnum):
    """What an operator says of two groups of sightings."""

    SAME = "same"  # all are one person
    DIFFERENT = "different"  # nobody of the first group is in the second


@dataclass(frozen=True, slots=True)
class OperatorCorrection:
    """An operator's word on who is who. Sightings are named by the ids of any of their
    detections; ``by`` is who says it and ``said_s`` when, in Unix seconds."""

    id: str
    verdict: Verdict
    first: tuple[str, ...]
    second: tuple[str, ...]
    by: str
    said_s: float


@dataclass(frozen=True, slots=True)
class CorrectionEvent:
    """An operator's correction has been obeyed, at event time ``at_s``; or it could not be, and
    ``refused`` says why."""

    at_s: float
    correction: OperatorCorrection
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Erasure:
    """One person is to be forgotten: all that is of these identities, and what holds any of these
    detections."""

    identities: tuple[str, ...]
    detections: tuple[str, ...]


Event = IdentityEvent | AssociationEvent | CalibrationEvent | CorrectionEvent | Refusal


def camera_pair(first: str, second: str) -> CameraPair:
    """The unordered pair."""
    return (first, second) if first <= second else (second, first)
