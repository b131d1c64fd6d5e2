"""The accepted pairs, as the calibration in force judges them."""

from __future__ import annotations

import numpy as np
import pytest

from stgal_stream.core.matching.evidence import pair_evidence, posteriors
from stgal_stream.core.measures.log_odds import probability
from stgal_stream.core.tracker.site_tracker import SiteTracker
from stgal_stream.settings import TrackerSettings
from stgal_stream.types import CalibrationEvent
from tests.support.walk import simulated_walk


@pytest.mark.parametrize("tracked", [True, False])
def test_a_calibration_judges_every_pair_again(tracked: bool) -> None:
    tracker, n_calibrations = SiteTracker("s", TrackerSettings(first_calibration=40)), 0
    for detection in simulated_walk(3, n_people=40, tracked=tracked):
        events = tracker.observe(detection)
        if not any(isinstance(event, CalibrationEvent) for event in events):
            continue
        n_calibrations += 1
        window = tracker.window
        pairs = sorted(window.accepted.pairs)
        for pair, posterior in zip(pairs, posteriors(window.scorer, pairs), strict=True):
            assert window.accepted.posterior(pair) == posterior
            later = pair_evidence(window.scorer, *reversed(pair)).log_odds
            assert posterior == pytest.approx(float(probability(np.array(later))), abs=1e-3)
    assert n_calibrations > 3
    assert len(tracker.window.accepted) > 20
