"""What a site's tracker knows, as plain values: for people who look, and for the log."""

from __future__ import annotations

from typing import Any

from stgal_stream.core.calibration.history import PastCalibration
from stgal_stream.core.calibration.link_test import MIN_BUDDIES
from stgal_stream.core.calibration.model import PairModel
from stgal_stream.core.tracker.site_tracker import SiteTracker
from stgal_stream.types import CameraPair

_QUANTILES = (0.1, 0.5, 0.9)


def summary(tracker: SiteTracker) -> dict[str, Any]:
    """Everything known of one site."""
    window = tracker.window
    calibration = window.scorer.calibration
    facts: dict[str, Any] = {
        "extractor": tracker.extractor,
        "event_time_s": tracker.watermark_s if len(window.gallery) else None,
        "cameras": sorted(filter(None, window.gallery.camera_names)),
        "clocks_off_s": dict(tracker.clock.odd_s),
        "n_tracklets": len(window.gallery),
        "n_identities": len(window.identities),
        "n_associations": len(window.accepted),
        "calibration": None,
        "needed_tracklets": max(0, window.n_until_calibration),
        "pairs": [],
    }
    if calibration is None:
        return facts
    before = window.history.a_day_before(tracker.watermark_s)
    facts["calibration"] = {
        "version": calibration.version,
        "method": calibration.method,
        "alpha": calibration.alpha,
        "sigma": calibration.sigma,
        "expected_precision": window.accepted.expected_precision,
        "learned": calibration.has_learned,
        "compared_with_s_ago": None if before is None else tracker.watermark_s - before.at_s,
        "alpha_before": None if before is None else before.alpha,
    }
    facts["pairs"] = [
        _pair(tracker, pair, model, before) for pair, model in sorted(calibration.pairs.items())
    ]
    return facts


def _pair(
    tracker: SiteTracker, pair: CameraPair, model: PairModel, before: PastCalibration | None
) -> dict[str, Any]:
    seen = tracker.window.accepted.travel_times.get(pair)
    n = seen.n if seen is not None else 0
    low, median, high = (seen.quantile(q) if seen is not None else None for q in _QUANTILES)
    past = None if before is None else before.medians_s.get(pair)
    return {
        "cameras": list(pair),
        "verdict": str(model.link),
        "n_buddies": model.n_buddies,
        "needed_buddies": max(0, MIN_BUDDIES - model.n_buddies),
        "n_associations": n,
        "p10_s": low,
        "median_s": median,
        "p90_s": high,
        "median_drift_s": None if past is None or median is None else median - past,
    }
