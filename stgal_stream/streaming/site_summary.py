"""What a site's tracker knows, as plain values, for people who look."""

from __future__ import annotations

from typing import Any

from stgal_stream.core.tracker.report import report
from stgal_stream.core.tracker.site_tracker import SiteTracker


def summary(tracker: SiteTracker) -> dict[str, Any]:
    """Everything known of one site."""
    window = tracker.window
    return {
        **report(window, tracker.watermark_s),
        "extractor": tracker.extractor,
        "event_time_s": tracker.watermark_s if len(window.gallery) else None,
        "clocks_off_s": dict(tracker.clock.odd_s),
        "needed_tracklets": max(0, window.n_until_calibration),
    }
