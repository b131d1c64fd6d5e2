"""What a codec finds in a record, as the producer wrote it -> a detection message, or why not.

The meaning of each value is checked here and once, whatever the format.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from stgal_stream.settings import ARRIVAL, OURS, InputSettings
from stgal_stream.types import Box, Reason, Vector
from stgal_stream.wire.fields import (
    BadRecord,
    box_of,
    confidence_of,
    is_picture,
    name_of,
    parse_time_s,
    picture_of,
    track_of,
    vector_of,
)

DEFAULT_SITE = "default"
_MAX_NAME = 256
_LOGIN = re.compile(r"//[^/@]*@")


class DetectionMessage(msgspec.Struct, frozen=True):
    """A detection as it came: with an encoded crop, or a vector embedded upstream."""

    id: str
    site: str
    camera: str
    time_s: float
    track_id: str | None
    box: Box | None
    confidence: float | None
    crop: bytes | None
    vector: Vector | None
    model: str | None


class RawDetection(msgspec.Struct):
    """One object, as a codec found it. ``elapsed_s`` is its time where the record counts from the
    beginning of the stream. ``picture`` is an encoded image, or base64 of one with its media type.
    ``raw_box`` is left, top, right, bottom. ``id`` is None where the producer gives none."""

    camera: str | int | None
    timestamp: str | float | None = None
    elapsed_s: float | None = None
    id: str | int | None = None
    site: str | None = None
    type: str | int | None = None
    track: str | float | None = None
    raw_box: tuple[float, float, float, float] | None = None
    confidence: float | None = None
    picture: bytes | tuple[str, str | None] | None = None
    vector: Any = None
    model: str | None = None

    def is_person(self, inputs: InputSettings) -> bool:
        """Whether it may be a person: as its type says, or says nothing."""
        return self.type is None or str(self.type).strip().lower() in inputs.person_types

    @property
    def has_look(self) -> bool:
        """Whether it comes with what a person looks like, not with a position alone."""
        return self.vector is not None or self.picture is not None

    def encoded_picture(self) -> bytes:
        """The picture as JPEG, PNG or WebP.

        Raises:
            BadRecord: there is none, or it is of no such kind.
        """
        if isinstance(self.picture, tuple):
            return picture_of(*self.picture)
        if self.picture is None or not is_picture(self.picture):
            raise BadRecord(Reason.BAD_IMAGE, "the value is neither JPEG, PNG nor WebP")
        return self.picture

    def place(self, index: int) -> str:
        """A name for an object that has none, the ``index``-th of its frame: it is the same when
        the frame is sent again."""
        time = self.elapsed_s if self.timestamp is None else self.timestamp
        return f"{_without_password(self.camera)}/{time}/{index}"

    def checked(
        self, place: str, arrival_s: float, format_: str, inputs: InputSettings
    ) -> DetectionMessage:
        """The detection. ``place`` names it where the producer does not: from the record's place in
        the log, or its camera and time. ``arrival_s`` is when the log took it (Unix seconds).

        Raises:
            BadRecord: with the reason code and what is wrong.
        """
        if not self.is_person(inputs):
            raise BadRecord(
                Reason.UNKNOWN_TYPE,
                f"object of type {str(self.type)[:64]!r}, not a person (input.person_types)",
            )
        crop, vector, model = None, None, None
        if self.vector is not None:
            vector = vector_of(self.vector)
            model = _model(self.model, vector, format_, inputs)
        else:
            crop = self.encoded_picture()
        return DetectionMessage(
            id=name_of(_short(place) if self.id is None else self.id, "id"),
            site=DEFAULT_SITE if self.site is None else name_of(self.site, "site"),
            camera=name_of(_without_password(self.camera), "sensorId"),
            time_s=self.time_s(arrival_s, inputs),
            track_id=track_of(self.track),
            box=None if self.raw_box is None else box_of(*self.raw_box),
            confidence=confidence_of(self.confidence),
            crop=crop,
            vector=vector,
            model=model,
        )

    def time_s(self, arrival_s: float, inputs: InputSettings) -> float:
        """Event time in Unix seconds.

        Raises:
            BadRecord: there is none, or it is no time.
        """
        if self.timestamp is not None:
            return parse_time_s(self.timestamp, _zone(inputs.timestamp_zone))
        if self.elapsed_s is None:
            raise BadRecord(Reason.BAD_TIMESTAMP, "there is no `timestamp`")
        if inputs.stream_start == ARRIVAL:
            return arrival_s
        start_s = inputs.stream_start_s
        if start_s is None:
            raise BadRecord(
                Reason.BAD_TIMESTAMP,
                f"the time, {self.elapsed_s:g} s, counts from the beginning of the stream; "
                "input.stream_start says when that was",
            )
        return start_s + self.elapsed_s


def _model(name: str | None, vector: Vector, format_: str, inputs: InputSettings) -> str:
    """What embedded a vector: as the record says, else as configured, else the detector's
    pipeline, which has one model."""
    if name is None and not inputs.upstream_model:
        if format_ == OURS:
            raise BadRecord(
                Reason.SCHEMA,
                "embedding.model is missing; input.upstream_model names it for records without it",
            )
        return f"{format_}-{vector.size}"
    return name_of(name if name is not None else inputs.upstream_model, "embedding.model")


def _without_password(camera: str | int | None) -> str | int | None:
    """A camera that is named by its address, without what logs in to it."""
    if isinstance(camera, str) and "@" in camera:
        return _LOGIN.sub("//", camera)
    return camera


def _short(place: str) -> str:
    if len(place) <= _MAX_NAME and place.isprintable():
        return place
    return hashlib.blake2b(place.encode(errors="replace"), digest_size=12).hexdigest()


@lru_cache(maxsize=8)
def _zone(name: str) -> ZoneInfo | None:
    return ZoneInfo(name) if name else None
