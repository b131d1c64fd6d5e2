"""Scores of pairs are the same however they are asked for."""

from __future__ import annotations

import pytest

from stgal_stream.core.matching.evidence import evidence_from, pair_evidence, pair_evidences
from stgal_stream.core.matching.gated_scores import GatedScores
from stgal_stream.core.tracker.site_tracker import SiteTracker
from stgal_stream.settings import TrackerSettings
from tests.support.walk import simulated_walk


def test_pairs_scored_on_the_spot_are_those_of_the_rows() -> None:
    tracker = SiteTracker("s", TrackerSettings(first_calibration=20))
    for detection in simulated_walk(3):
        tracker.observe(detection)
    scorer = tracker.window.scorer
    numbers = tracker.window.gallery.numbers[:20].tolist()
    pairs = [(i, j) for i in numbers for j in numbers if i != j]
    together = pair_evidences(scorer, pairs)
    for (number, partner), found in zip(pairs, together, strict=True):
        whole = GatedScores.whole(scorer.one(number))
        wanted = evidence_from(scorer, number, partner, whole)
        assert found.partner == wanted.partner
        assert found.travel_time_s == wanted.travel_time_s
        for name in ("p_visual", "p_travel", "p_association", "log_odds"):
            assert getattr(found, name) == pytest.approx(getattr(wanted, name), abs=1e-3)
        assert pair_evidence(scorer, number, partner).p_travel == found.p_travel
