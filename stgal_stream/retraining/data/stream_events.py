"""The daemon's outputs as a retraining reads them: only what it needs, each field of its type.

Law: what lies in a topic or a file may be anything. An event that cannot be used is counted and
stops nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from stgal_stream.types import Position
from stgal_stream.wire.fields import BadRecord, parse_time_s

_MOST_LOG_ODDS = 700.0
UNREADABLE = "unreadable_event"


@dataclass(frozen=True, slots=True)
class Sighting:
    """A tracklet as the outputs name it, where its best crop lies, and its detections' ids."""

    id: str
    site: str
    camera: str
    start_s: float
    end_s: float
    crop: Position | None
    detections: tuple[str, ...] = ()


class _Place(msgspec.Struct):
    topic: str
    partition: int
    offset: int


class _Tracklet(msgspec.Struct, rename="camel"):
    id: str
    sensor_id: str
    start: str
    end: str
    crop: _Place | None = None
    detections: tuple[str, ...] = ()


class _Evidence(msgspec.Struct, rename="camel"):
    log_odds: float | None = None


class IdentityEvent(msgspec.Struct):
    """What became of a tracklet or an identity."""

    type: str
    site: str
    tracklet: _Tracklet | None = None

    def sighting(self) -> Sighting | None:
        """The tracklet that came to its identity; None in an event about something else.

        Raises:
            ValueError: its times are none.
        """
        if self.tracklet is None or self.type not in ("created", "joined"):
            return None
        return _sighting(self.site, self.tracklet)


class _Withdrawn(msgspec.Struct, rename="camel", tag="withdrawn"):
    site: str
    pair_id: str


class Accepted(msgspec.Struct, rename="camel", tag="accepted"):
    """A pseudo-pair and how probably it is one person."""

    site: str
    pair_id: str
    query: _Tracklet
    gallery: _Tracklet
    evidence: _Evidence

    def sightings(self) -> tuple[Sighting, Sighting]:
        """The two.

        Raises:
            ValueError: their times are none.
        """
        return _sighting(self.site, self.query), _sighting(self.site, self.gallery)

    @property
    def posterior(self) -> float:
        """The probability of one person; a half where nothing is said (setting ``paper``)."""
        if self.evidence.log_odds is None:
            return 0.5
        odds = max(-_MOST_LOG_ODDS, min(_MOST_LOG_ODDS, self.evidence.log_odds))
        return 1.0 / (1.0 + math.exp(-odds))


AssociationEvent = Accepted | _Withdrawn
_IDENTITIES = msgspec.json.Decoder(IdentityEvent)
_ASSOCIATIONS = msgspec.json.Decoder(AssociationEvent)
Event = TypeVar("Event")


def identities_of(values: Iterable[bytes], left_out: Counter[str]) -> Iterator[IdentityEvent]:
    """The events that can be read; the others are counted."""
    return _read(_IDENTITIES, values, left_out)


def associations_of(values: Iterable[bytes], left_out: Counter[str]) -> Iterator[AssociationEvent]:
    """The events that can be read; the others are counted."""
    for event in _read(_ASSOCIATIONS, values, left_out):
        try:
            if isinstance(event, Accepted):
                event.sightings()
        except ValueError:
            left_out[UNREADABLE] += 1
            continue
        yield event


def association_of(value: bytes) -> AssociationEvent:
    """One event.

    Raises:
        ValueError: it is none.
    """
    event: AssociationEvent = _ASSOCIATIONS.decode(value)
    if isinstance(event, Accepted):
        event.sightings()
    return event


def _read(
    decoder: msgspec.json.Decoder[Event], values: Iterable[bytes], left_out: Counter[str]
) -> Iterator[Event]:
    for value in values:
        try:
            yield decoder.decode(value)
        except (ValueError, RecursionError):  # msgspec's own errors are ValueErrors
            left_out[UNREADABLE] += 1


def _sighting(site: str, body: _Tracklet) -> Sighting:
    try:
        start_s, end_s = parse_time_s(body.start), parse_time_s(body.end)
    except BadRecord as error:
        raise ValueError(error.detail) from error
    if not end_s >= start_s:
        raise ValueError(f"tracklet {body.id!r} ends before it starts")
    at = body.crop
    place = None if at is None else Position(at.topic, at.partition, at.offset)
    return Sighting(body.id, site, body.sensor_id, start_s, end_s, place, body.detections)
