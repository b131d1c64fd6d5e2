"""What the API answers: the models of its OpenAPI document. Times are RFC 3339 in UTC."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

T = TypeVar("T")


class Answer(BaseModel):
    """Names on the wire are camelCase, as in the log's messages."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Page(Answer, Generic[T]):
    """Some of many. ``next`` is the cursor of what follows, null at the end."""

    items: list[T]
    next: str | None = None


class Problem(Answer):
    """What went wrong (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


class SiteName(Answer):
    """A site that has sent something."""

    site: str
    cameras: int
    last_seen: str = Field(description="Event time of its newest detection")


class Camera(Answer):
    """A camera, as its detections show it."""

    sensor_id: str
    last_seen: str
    silent_seconds: float = Field(description="How far it lies behind the site's newest detection")
    people: int = Field(description="Identities seen there in the last minute of the site's time")
    detections: int
    clock_off_seconds: float = Field(description="Ahead of the others is positive; corrected")


class CameraPair(Answer):
    """Two cameras, as the last calibration knows them."""

    sensor_ids: list[str]
    verdict: str = Field(description="linked, not_linked or too_little_data")
    associations: int
    p10_seconds: float | None
    median_seconds: float | None
    p90_seconds: float | None
    median_drift_seconds: float | None


class Site(Answer):
    """A site now. Rates count the last five minutes of the site's own time."""

    site: str
    event_time: str
    followed: bool = Field(description="Whether the log has been read to its end")
    age_seconds: float = Field(description="Since the log took the newest detection")
    cameras: list[Camera]
    pairs: list[CameraPair]
    people_now: int
    sightings_per_minute: float
    associations_per_minute: float
    expected_precision: float | None
    expected_identity_precision: float | None
    learned: bool
    alpha: float | None
    extractor: str | None
    calibrated_at: str | None
    warnings: list[str] = Field(description="What is wrong, in words")


class Sighting(Answer):
    """One person in one camera without a break."""

    id: str
    sensor_id: str
    start: str
    end: str
    identity: str
    detections: int
    track_id: str | None
    late_seconds: float
    has_crop: bool
    has_vector: bool


class Identity(Answer):
    """One person, as far as the tracker can tell."""

    id: str
    first_seen: str
    last_seen: str
    sightings: int
    sensor_ids: list[str]
    left_window: bool = Field(description="Too old to be joined by new sightings")
    is_static: bool = Field(description="No person: what it is of never moves")
    newest_sighting: str | None


class Event(Answer):
    """What happened to an identity: created, joined, renamed, static or ended."""

    number: int
    type: str
    at: str
    identity: str
    from_identity: str | None
    sighting: str | None
    evidence: dict[str, Any] | None
    correction: str | None = Field(description="Of the operator's correction that it obeys")


class IdentityDetail(Answer):
    """One identity's sightings and what made it. ``merged_into`` names the identity that it is now
    part of."""

    identity: Identity
    merged_into: str | None
    sightings: list[Sighting]
    events: list[Event]
    complete: bool = Field(description="Whether all sightings and events are told")


class AcceptedPair(Answer):
    """Two sightings that best-buddies search holds to be one person."""

    query: str
    gallery: str
    at: str
    travel_time_seconds: float
    p_visual: float
    p_travel: float
    p_association: float


class PairDetail(Answer):
    """Two cameras and the travel times between them."""

    pair: CameraPair | None
    travel_times_seconds: list[float] = Field(description="Of accepted pairs, the newest 5,000")
    pairs: list[AcceptedPair] = Field(description="The newest")
    history: list[PastMedian]


class PastMedian(Answer):
    """What a calibration had learned of the two cameras."""

    at: str
    associations: int
    median_seconds: float | None


class Match(Answer):
    """A sighting that looks alike. With a time to go by, P_t is equation 4's from the accepted
    pairs of the two cameras, and P_a = P_v P_t."""

    sighting: Sighting
    distance: float = Field(description="Camera-centred, 0 to 2")
    p_visual: float | None
    travel_time_seconds: float | None = None
    p_travel: float | None = None
    p_association: float | None = None


class SearchResult(Answer):
    """The nearest sightings, nearest first; an exact search. ``sighting`` is the one that was asked
    for, null where a picture was."""

    sighting: Sighting | None = None

    extractor: str
    searched: int
    seconds: float
    matches: list[Match]


class Named(Answer):
    """People of whom an operator speaks: all sightings of an identity, or some sightings."""

    identity: str | None = Field(default=None, min_length=1, max_length=512)
    sightings: list[Annotated[str, Field(min_length=1, max_length=512)]] = Field(
        default=[], max_length=1000
    )

    @model_validator(mode="after")
    def _one_way(self) -> Named:
        if (self.identity is None) == (not self.sightings):
            raise ValueError("name either an identity or at least one sighting")
        return self


class Word(Answer):
    """What an operator says: all of both are one person (``same``), or nobody of the first is in
    the second (``different``)."""

    verdict: Literal["same", "different"]
    first: Named
    second: Named


class Said(Answer):
    """The correction is in the log; the tracker reads it in order, and ``corrections`` tells what
    became of it."""

    correction_id: str


class Correction(Answer):
    """What an operator said, and what became of it."""

    id: str
    verdict: str
    first: list[str]
    second: list[str]
    said_by: str
    said: str
    refused: str | None = Field(description="Why the tracker could not obey; null where it did")


class Promoted(Answer):
    """What daemons change over to by themselves; null is the configured extractor."""

    version: str | None


class Visitor(Answer):
    """Who asks."""

    role: str = Field(description="viewer: may look; operator: may correct, too")


class Release(Answer):
    """A version of the extractor that a retraining made, and what the gate said of it."""

    version: str
    created: str
    parent: str
    pairs: int | None = Field(description="Pseudo-pairs that it was trained on")
    passed: bool | None
    reason: str | None
    gain_at_least: float | None = Field(
        description="What it gains on held-out travel times in 99 % of bootstrap draws"
    )
    in_use: bool
    refused_by: list[str] = Field(description="Workers that could not use it, and why")


class Models(Answer):
    """All releases, newest first. ``in_use`` is null where the configured extractor is."""

    in_use: str | None
    releases: list[Release]
    faults: list[str] = Field(description="Releases that cannot be read, and why")


PairDetail.model_rebuild()
