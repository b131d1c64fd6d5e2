"""The tracker of one site. Wiring: what is refused, and when something happens."""

from __future__ import annotations

import math

from stgal_stream.core.tracker.window import AssociationWindow
from stgal_stream.core.tracklets.box_tracker import BoxTracker
from stgal_stream.core.tracklets.builder import TrackletBuilder
from stgal_stream.core.tracklets.seen_ids import SeenIds
from stgal_stream.core.tracklets.watermark import Watermark
from stgal_stream.settings import TrackerSettings
from stgal_stream.types import Detection, Event, Reason, Refusal


class SiteTracker:
    """Detections of one site in, events out.

    >>> tracker = SiteTracker("shop", TrackerSettings())
    >>> tracker.tick(1_700_000_000.0)
    []
    """

    def __init__(self, site: str, settings: TrackerSettings) -> None:
        self.site = site
        self.settings = settings
        self.watermark = Watermark(settings.allowed_lateness_s)
        self.builder = TrackletBuilder(settings, BoxTracker(settings))
        self.seen_ids = SeenIds(settings.window_s)
        self.window = AssociationWindow(site, settings)
        self.extractor: str | None = None
        self.dim: int | None = None

    def observe(self, detection: Detection) -> list[Event]:
        """Takes one detection: the events that its time lets out, or a refusal that says why it
        cannot be used."""
        refusal = self._refusal(detection)
        if refusal is not None:
            # Another extractor may have come for good: its time lets the window run out.
            foreign = refusal.reason is Reason.FOREIGN_EMBEDDING
            return [refusal, *(self.tick(detection.time_s) if foreign else ())]
        self.seen_ids.add(detection.id, detection.time_s)
        if self._is_empty():  # nothing is left to compare with: another extractor may take over
            if detection.extractor != self.extractor:
                self.builder.forget_boxes()
                self.window.forget_all(detection.time_s)
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
            events += self.window.step(self.builder.close(boundary), boundary)
            self.seen_ids.forget(boundary)
        return events

    def _refusal(self, detection: Detection) -> Refusal | None:
        if self.watermark.is_late(detection.time_s):
            behind = self.watermark.value_s - detection.time_s
            return Refusal(detection, Reason.LATE, f"{behind:.3f} s behind the watermark")
        if detection.id in self.seen_ids:
            return Refusal(detection, Reason.DUPLICATE_ID, "the id was seen before")
        if self._is_empty():
            return None
        if detection.extractor != self.extractor:
            detail = f"embedded by {detection.extractor!r}, the site is at {self.extractor!r}"
            return Refusal(detection, Reason.FOREIGN_EMBEDDING, detail)
        if len(detection.embedding) != self.dim:
            detail = f"{len(detection.embedding)} numbers, the site's embeddings have {self.dim}"
            return Refusal(detection, Reason.FOREIGN_EMBEDDING, detail)
        gallery, most = self.window.gallery, self.settings.max_cameras
        if not gallery.knows_camera(detection.camera) and gallery.n_cameras >= most:
            return Refusal(detection, Reason.TOO_MANY_CAMERAS, f"{most} cameras are known already")
        if len(self.builder) >= self.settings.max_open_tracklets:
            detail = f"{len(self.builder)} detections and tracklets are open already"
            return Refusal(detection, Reason.TOO_MANY_OPEN, detail)
        return None

    def _is_empty(self) -> bool:
        return not len(self.builder) and not len(self.window.gallery)

    def _next_boundary(self) -> float:
        """The next point of the grid at which something happens."""
        oldest = self.window.gallery.oldest_settled_s()
        expiry = math.inf if oldest is None else oldest + self.settings.window_s
        at = min(self.builder.next_s(), expiry)
        if math.isinf(at):
            return at
        step = self.settings.step_s
        boundary = (math.floor(at / step) + 1) * step
        return boundary if boundary > at else boundary + step
