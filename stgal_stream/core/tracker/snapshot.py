"""A tracker's whole state as plain values, and back.

Law: ``restore(snapshot(tracker))`` goes on exactly as the tracker would have, to the bit. Numbers
that came out of a matrix product are kept, never computed again, since a product's last bits depend
on its shape.

Every class gives its own state as a frozen dataclass of plain values, arrays and other such
dataclasses, and is restored from it. A field that is added there is in the snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass

from stgal_stream.core.tracker.site_tracker import SiteTracker
from stgal_stream.core.tracker.window import AssociationWindow, WindowState
from stgal_stream.core.tracklets.builder import BuilderState, TrackletBuilder
from stgal_stream.core.tracklets.seen_ids import SeenIds
from stgal_stream.core.tracklets.site_clock import SiteClock, SiteClockState
from stgal_stream.settings import TrackerSettings

# Another version is another mathematics or another shape: its snapshots are left aside.
STATE_VERSION = "19"


@dataclass(frozen=True, slots=True)
class SiteState:
    """All that a ``SiteTracker`` knows."""

    site: str
    clock: SiteClockState
    extractor: str | None
    dim: int | None
    seen_ids: list[tuple[float, int]]
    builder: BuilderState
    window: WindowState


def snapshot(tracker: SiteTracker) -> SiteState:
    """Everything that the tracker knows. Write it before the tracker goes on: it is no copy."""
    return SiteState(
        tracker.site,
        tracker.clock.state(),
        tracker.extractor,
        tracker.dim,
        tracker.seen_ids.entries,
        tracker.builder.state(),
        tracker.window.state(),
    )


def restore(state: SiteState, settings: TrackerSettings) -> SiteTracker:
    """A tracker that goes on where ``snapshot`` was taken, under the same settings."""
    tracker = SiteTracker(state.site, settings)
    tracker.clock = SiteClock(state.clock)
    tracker.extractor, tracker.dim = state.extractor, state.dim
    tracker.seen_ids = SeenIds(settings.window_s, state.seen_ids)
    tracker.builder = TrackletBuilder.restore(settings, state.builder)
    tracker.window = AssociationWindow.restore(state.site, settings, state.window)
    return tracker
