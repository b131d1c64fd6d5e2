"""The tracker of one site. Wiring: what is refused, and when something happens."""

from __future__ import annotations

import math
from dataclasses import replace

from stgal_stream.core.tracker.erasure import erase
from stgal_stream.core.tracker.operator_correction import obey
from stgal_stream.core.tracker.window import AssociationWindow
from stgal_stream.core.tracklets.box_tracker import BoxTracker
from stgal_stream.core.tracklets.builder import TrackletBuilder
from stgal_stream.core.tracklets.seen_ids import SeenIds
from stgal_stream.core.tracklets.site_clock import SiteClock
from stgal_stream.settings import TrackerSettings
from stgal_stream.types import Detection, Erasure, Event, OperatorCorrection, Reason, Refusal


class SiteTracker:
    """Detections of one site in, events out.

    >>> tracker = SiteTracker("shop", TrackerSettings())
    >>> tracker.tick(1_700_000_000.0)
    []
    """

    def __init__(self, site: str, settings: TrackerSettings) -> None:
        self.site = site
        self.settings = settings
        self.clock = SiteClock()
        self.builder = TrackletBuilder(settings, BoxTracker(settings))
        self.seen_ids = SeenIds(settings.window_s)
        self.window = AssociationWindow(site, settings)
        self.extractor: str | None = None
        self.dim: int | None = None

    @property
    def watermark_s(self) -> float:
        """What is older than this event time comes late."""
        return self.clock.time_s - self.settings.allowed_lateness_s

    @property
    def grid_time_s(self) -> float:
        """The newest point of the grid of decisions that the watermark has passed."""
        step_s, watermark_s = self.settings.step_s, self.watermark_s
        return math.floor(watermark_s / step_s) * step_s if watermark_s > 0 else 0.0

    def observe(self, detection: Detection) -> list[Event]:
        """Takes one detection: the events that its time lets out, or a refusal that says why it
        cannot be used."""
        most = self.settings.max_cameras
        if not self.clock.has_room(detection.camera, most):
            detail = f"{most} cameras are known already"
            return [Refusal(detection, Reason.TOO_MANY_CAMERAS, detail)]
        shifted_s = self.clock.observe(detection.camera, detection.time_s)
        if shifted_s > 0:
            self.builder.retime(detection.camera, self.clock.time_s, shifted_s)
        detection = self._in_site_time(detection)
        events = self._make_room(detection)
        refusal = self._refusal(detection)
        if refusal is not None:
            # Another extractor may have come for good: its time lets the window run out.
            return [*events, refusal, *self.advance()]
        self.seen_ids.add(detection.id, detection.due_s)
        if self._is_empty():  # nothing is left to compare with: another extractor may take over
            if detection.extractor != self.extractor:
                self.builder.forget_boxes()
                self.window.forget_all(detection.time_s)
            self.extractor, self.dim = detection.extractor, len(detection.embedding)
        self.builder.observe(detection)
        return events + self.advance()

    def tick(self, time_s: float, most_s: float = math.inf) -> list[Event]:
        """Event time has come to ``time_s`` without a detection. What is further ahead than
        ``most_s`` goes by another clock, and only its progress counts."""
        self.clock.tick(time_s, most_s)
        return self.advance()

    def correct(self, correction: OperatorCorrection) -> list[Event]:
        """Obeys an operator's correction; or an event says why it cannot be obeyed."""
        return obey(self.window, correction, self.grid_time_s)

    def erase(self, erasure: Erasure) -> list[Event]:
        """Forgets one person. Where they are in view just now, what is not yet told of them is
        somebody new."""
        return erase(self.window, self.builder, erasure, self.grid_time_s)

    def close(self) -> list[Event]:
        """Nothing more comes: event time goes on until nothing waits for it."""
        settings, latest_s = self.settings, max(self.clock.time_s, self.builder.latest_s)
        wait_s = settings.allowed_lateness_s + settings.tracklet_max_s + 2 * settings.step_s
        if len(self.builder):
            self.clock.go_on(latest_s + wait_s)
        return self.advance()

    def advance(self) -> list[Event]:
        """All decisions that fall up to the watermark."""
        events: list[Event] = []
        watermark_s = self.watermark_s
        while (boundary := self._next_boundary()) <= watermark_s:
            events += self.window.step(self.builder.close(boundary), boundary)
            self.seen_ids.forget(boundary)
            self.clock.forget(boundary - self.settings.window_s)
        return events

    def _make_room(self, detection: Detection) -> list[Event]:
        """Where more waits than may: takes in what came late without waiting for the next step, or
        gives up what lies furthest ahead."""
        most = self.settings.max_open_tracklets
        if len(self.builder) < most:
            return []
        events: list[Event] = []
        at_s = self.watermark_s
        if self.builder.earliest_s <= at_s:
            events += self.window.step(self.builder.close(math.nextafter(at_s, math.inf)), at_s)
        if len(self.builder) >= most and self.builder.latest_s > detection.due_s:
            furthest = self.builder.drop_furthest()
            assert furthest is not None
            detail = f"{furthest.time_s - at_s:.3f} s ahead, and {most} detections wait already"
            events.append(Refusal(furthest, Reason.TOO_MANY_OPEN, detail))
        return events

    def _in_site_time(self, detection: Detection) -> Detection:
        """The detection by the site's clock, and how late it is."""
        time_s = self.clock.in_site_time(detection.camera, detection.time_s)
        late_s = max(0.0, self.watermark_s - time_s)
        if time_s == detection.time_s and not late_s:
            return detection
        return replace(detection, time_s=time_s, late_s=late_s)

    def _refusal(self, detection: Detection) -> Refusal | None:
        if detection.late_s > self.settings.window_s:
            detail = f"{detection.late_s:.3f} s behind the watermark, longer than the window"
            return Refusal(detection, Reason.LATE, detail)
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
