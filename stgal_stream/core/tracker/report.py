"""What a window has learned, as plain values: for people who look, and for the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stgal_stream.core.calibration.history import PastCalibration
from stgal_stream.core.calibration.link_test import MIN_BUDDIES
from stgal_stream.core.calibration.model import Calibration, PairModel
from stgal_stream.core.calibration.travel_time_distribution import TravelTimeDistribution
from stgal_stream.types import CameraPair

if TYPE_CHECKING:
    from stgal_stream.core.tracker.window import AssociationWindow

_QUANTILES = (0.1, 0.5, 0.9)


def report(window: AssociationWindow, at_s: float, most_pairs: int | None = None) -> dict[str, Any]:
    """Everything known at an event time. ``most_pairs`` bounds the camera pairs that are told:
    those with the most associations, and how many are left out."""
    calibration = window.scorer.calibration
    facts: dict[str, Any] = {
        "extractor": window.gallery[window.gallery.first].extractor if window.gallery else None,
        "cameras": sorted(filter(None, window.gallery.camera_names)),
        "n_tracklets": len(window.gallery),
        "n_identities": len(window.identities),
        "n_associations": len(window.accepted),
        "static_objects": window.static_objects.by_camera(),
        "calibration": None,
        "pairs": [],
        "n_pairs_left_out": 0,
    }
    if calibration is None:
        return facts
    before = window.history.a_day_before(at_s)
    facts["calibration"] = {
        "version": calibration.version,
        "method": calibration.method,
        "alpha": calibration.alpha,
        "sigma": calibration.sigma,
        "expected_precision": window.accepted.expected_precision,
        "expected_identity_precision": window.resolver.precision.value,
        "learned": calibration.has_learned,
        "compared_with_s_ago": None if before is None else at_s - before.at_s,
        "alpha_before": None if before is None else before.alpha,
    }
    seen = window.accepted.travel_times
    told = _told(calibration, seen, most_pairs)
    facts["pairs"] = [_pair(pair, calibration.pairs[pair], seen.get(pair), before) for pair in told]
    facts["n_pairs_left_out"] = len(calibration.pairs) - len(told)
    return facts


def _told(
    calibration: Calibration, seen: dict[CameraPair, TravelTimeDistribution], most: int | None
) -> list[CameraPair]:
    if most is None or len(calibration.pairs) <= most:
        return sorted(calibration.pairs)
    counts = {pair: seen[pair].n if pair in seen else 0 for pair in calibration.pairs}
    return sorted(sorted(counts, key=lambda pair: (-counts[pair], pair))[:most])


def _pair(
    pair: CameraPair,
    model: PairModel,
    seen: TravelTimeDistribution | None,
    before: PastCalibration | None,
) -> dict[str, Any]:
    low = median = high = None
    if seen is not None and seen.n:
        low, median, high = np.quantile(seen.times_s, _QUANTILES).tolist()
    past = None if before is None else before.medians_s.get(pair)
    return {
        "cameras": list(pair),
        "verdict": str(model.link),
        "n_buddies": model.n_buddies,
        "needed_buddies": max(0, MIN_BUDDIES - model.n_buddies),
        "n_associations": 0 if seen is None else seen.n,
        "p10_s": low,
        "median_s": median,
        "p90_s": high,
        "median_drift_s": None if past is None or median is None else median - past,
    }
