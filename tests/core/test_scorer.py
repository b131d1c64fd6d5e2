"""Scores of pairs are the same however they are asked for."""

from __future__ import annotations

import pytest

from stgal_stream.core.site_tracker import SiteTracker
from stgal_stream.types import TrackerSettings

from ..conftest import simulated_walk


def test_pairs_scored_on_the_spot_are_those_of_the_rows() -> None:
    tracker = SiteTracker("s", TrackerSettings(first_calibration=20))
    for detection in simulated_walk(3):
        tracker.observe(detection)
    scorer = tracker.associator.scorer
    numbers = tracker.associator.gallery.numbers[:20].tolist()
    pairs = [(i, j) for i in numbers for j in numbers if i != j]
    together = scorer.pair_evidences(pairs)
    for (number, partner), found in zip(pairs, together, strict=True):
        wanted = scorer.evidence(number, partner, scorer.one(number))
        assert found.partner == wanted.partner
        assert found.travel_time_s == wanted.travel_time_s
        for name in ("p_visual", "p_travel", "p_association", "log_odds"):
            assert getattr(found, name) == pytest.approx(getattr(wanted, name), abs=1e-3)
        assert scorer.pair_evidence(number, partner).p_travel == found.p_travel
