"""The online tracker of one site: detections in, events out. Wiring only.

The laws. What comes out is a function of what went in: no clock, no randomness, no I/O. Decisions
fall on a grid of event time (``step_s``), so they do not depend on how the log was polled nor, as
long as nothing is late, on the order of arrival. Memory is bounded by the settings.
"""

from __future__ import annotations

import math

from stgal_stream.core.associator import Associator
from stgal_stream.core.recent_ids import RecentIds
from stgal_stream.core.tracklet_builder import TrackletBuilder
from stgal_stream.core.visits import Visits
from stgal_stream.core.watermark import Watermark
from stgal_stream.types import Detection, Event, Reason, Refusal, TrackerSettings


class SiteTracker:
    """Feed it with ``observe`` and ``tick``; it gives the events that follow."""

    def __init__(self, site: str, settings: TrackerSettings) -> None:
        self.site = site
        self.settings = settings
        self.watermark = Watermark(settings.allowed_lateness_s)
        self.builder = TrackletBuilder(settings, Visits(settings))
        self.recent = RecentIds(settings.window_s)
        self.associator = Associator(site, settings)
        self.extractor: str | None = None
        self.dim: int | None = None

    def observe(self, detection: Detection) -> list[Event]:
        """Takes one detection: what its time lets out, or why it cannot be used."""
        refusal = self._refusal(detection)
        if refusal is not None:
            # Another extractor may have come for good: its time lets the window run out.
            foreign = refusal.reason is Reason.FOREIGN_EMBEDDING
            return [refusal, *(self.tick(detection.time_s) if foreign else ())]
        self.recent.add(detection.id, detection.time_s)
        if self._is_empty():  # nothing is left to compare with: another extractor may take over
            if detection.extractor != self.extractor:
                self.builder.visits = Visits(self.settings)
                self.associator.forget_all(detection.time_s)
            self.extractor, self.dim = detection.extractor, len(detection.embedding)
        self.builder.observe(detection)
        return self.advance(self.watermark.observe(detection.time_s))

    def tick(self, time_s: float) -> list[Event]:
        """Event time has come to ``time_s`` without a detection."""
        return self.advance(self.watermark.observe(time_s))

    def advance(self, watermark_s: float) -> list[Event]:
        """All decisions that fall up to a watermark."""
        events: list[Event] = []
        while (boundary := self._next_boundary()) <= watermark_s:
            events += self.associator.step(self.builder.close(boundary), boundary)
            self.recent.forget(boundary)
        return events

    def _refusal(self, detection: Detection) -> Refusal | None:
        if self.watermark.is_late(detection.time_s):
            behind = self.watermark.value_s - detection.time_s
            return Refusal(detection, Reason.LATE, f"{behind:.3f} s behind the watermark")
        if self.recent.has(detection.id):
            return Refusal(detection, Reason.DUPLICATE_ID, "the id was seen before")
        if self._is_empty():
            return None
        if detection.extractor != self.extractor:
            detail = f"embedded by {detection.extractor!r}, the site is at {self.extractor!r}"
            return Refusal(detection, Reason.FOREIGN_EMBEDDING, detail)
        if len(detection.embedding) != self.dim:
            detail = f"{len(detection.embedding)} numbers, the site's embeddings have {self.dim}"
            return Refusal(detection, Reason.FOREIGN_EMBEDDING, detail)
        gallery = self.associator.gallery
        most = self.settings.max_cameras
        if not gallery.knows_camera(detection.camera) and len(gallery.camera_names) >= most:
            return Refusal(detection, Reason.TOO_MANY_CAMERAS, f"{most} cameras are known already")
        if len(self.builder) >= self.settings.max_open_tracklets:
            detail = f"{len(self.builder)} detections and tracklets are open already"
            return Refusal(detection, Reason.TOO_MANY_OPEN, detail)
        return None

    def _is_empty(self) -> bool:
        return not len(self.builder) and not len(self.associator.gallery)

    def _next_boundary(self) -> float:
        """The next point of the grid at which something happens."""
        oldest = self.associator.gallery.oldest_settled_s()
        expiry = math.inf if oldest is None else oldest + self.settings.window_s
        at = min(self.builder.next_s(), expiry)
        if math.isinf(at):
            return at
        step = self.settings.step_s
        boundary = (math.floor(at / step) + 1) * step
        return boundary if boundary > at else boundary + step
