"""The things that travel through the system. Frozen, plain, without behaviour of their own."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

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
    it, ``position`` where the crop lies in the log.
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


@dataclass(frozen=True, slots=True)
class Tracklet:
    """One person in one camera without a break: ``start_s`` and ``end_s`` are its first and last
    detection; ``embedding`` (D,) is the detections' mean; ``position`` is its best crop's. Where a
    long track was cut, ``track_start_s`` is when the whole of it began."""

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

    NOT_JSON = "not_json"
    SCHEMA = "schema"
    UNKNOWN_TYPE = "unknown_type"
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


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why two tracklets are held to be one person: equations 1, 4 and 5, and the runner-up."""

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
    """``created``, ``joined``, ``renamed`` or ``ended``, at event time ``at_s``.

    A rename without a tracklet is of a whole identity (a merge); with one, that tracklet alone
    moves (a correction, or with evidence None its identity is parted).
    """

    kind: str
    at_s: float
    global_id: str
    from_id: str | None = None
    tracklet: Tracklet | None = None
    evidence: Evidence | None = None


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


Event = IdentityEvent | AssociationEvent | Refusal


def camera_pair(first: str, second: str) -> CameraPair:
    """The unordered pair."""
    return (first, second) if first <= second else (second, first)
