"""Equations 1 to 5 worked by hand, and hard negatives."""

from __future__ import annotations

import numpy as np
import pytest

from stgal_stream.core.calibration.link_test import LinkStatus
from stgal_stream.core.calibration.model import Calibration, PairModel
from stgal_stream.core.calibration.paper import calibrate_paper, largest_negative
from stgal_stream.core.calibration.score_tables import ScoreTables
from stgal_stream.core.calibration.travel_time_distribution import TravelTimeDistribution
from stgal_stream.core.gallery.gallery import Gallery
from stgal_stream.core.gallery.known_negatives import are_known_negatives
from stgal_stream.core.matching.hard_negatives import sample_hard_negatives
from stgal_stream.core.measures.distance import distances, visual_probability
from stgal_stream.settings import TrackerSettings
from stgal_stream.types import Box, Tracklet


def tracklet(
    number: int, camera: str, start_s: float, end_s: float, at: float, **more: object
) -> Tracklet:
    vector = np.array([at, 0.0], dtype=np.float32)
    return Tracklet(number, camera, start_s, end_s, vector, "x", (f"d{number}",), **more)  # type: ignore[arg-type]


def test_equation_1_and_5() -> None:
    assert visual_probability(100.0, 0.01) == pytest.approx(np.exp(-1))
    seen = TravelTimeDistribution.of([30.0, 90.0], 10.0)
    model = PairModel(LinkStatus.LINKED, 2, seen)
    found = Calibration("v", "paper", 0.01, 1.0, {("A", "B"): model})
    scores = ScoreTables(found).score(
        "A", ("A", "B"), np.array([1, 1]), np.array([100.0, 100.0]), np.array([30.0, 60.0])
    )
    assert scores.p_association == pytest.approx([0.5 * np.exp(-1), 0.0])


def test_paper_calibration_worked_by_hand() -> None:
    """Two people together in A give sigma; the matched pairs A-B give P_t (equations 2 to 4)."""
    gallery = Gallery()
    gallery.add(tracklet(0, "A", 0, 2, 0.0), 5)
    gallery.add(tracklet(1, "A", 1, 3, 10.0), 5)
    gallery.add(tracklet(2, "B", 32, 33, 1.0), 40)  # 1 from 0: matched, 30 s after it
    gallery.add(tracklet(3, "B", 63, 64, 8.0), 70)  # 2 from 1: matched, 60 s after it
    found = calibrate_paper(gallery, TrackerSettings(method="paper"), "v")
    assert found.alpha == 0.01
    assert found.sigma == pytest.approx(np.exp(-0.1))  # the pair (0, 1) at distance 10
    seen = found.pairs["A", "B"].distribution
    # (0, 2): 30 s, (1, 3): 60 s, (1, 2): d = 9 and 29 s, (0, 3): d = 8 and 61 s.
    assert seen.times_s == [29.0, 30.0, 60.0, 61.0]
    assert seen.probability([25.0, 70.0, 45.0]).tolist() == [0.5, 0.5, 0.0]
    tables = ScoreTables(found)
    scores = tables.score("A", ("A", "B"), np.array([1]), np.array([1.0]), np.array([30.0]))
    assert scores.p_association[0] == pytest.approx(np.exp(-0.01) * 0.5)


def test_sigma_is_the_largest_negative_and_one_without_any() -> None:
    assert largest_negative([0.2, 0.9, 0.4]) == 0.9
    assert largest_negative([]) == 1.0


def test_distances_are_euclidean() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(n, 9)).astype(np.float32) for n in (4, 6))
    wanted = np.linalg.norm(a[:, None] - b[None], axis=2)
    assert distances(a, b) == pytest.approx(wanted, abs=1e-5)


def test_known_negatives() -> None:
    first = tracklet(0, "A", 0, 5, 0.0)
    assert are_known_negatives(first, tracklet(1, "A", 5, 9, 0.0))
    assert not are_known_negatives(first, tracklet(1, "A", 5.1, 9, 0.0))
    assert not are_known_negatives(first, tracklet(1, "B", 0, 5, 0.0))


def test_two_boxes_over_each_other_are_one_person() -> None:
    first = tracklet(0, "A", 1, 1, 0.0, box=Box(0, 0, 10, 20))
    assert not are_known_negatives(first, tracklet(1, "A", 1, 1, 0.0, box=Box(1, 1, 10, 20)))
    assert are_known_negatives(first, tracklet(1, "A", 1, 1, 0.0, box=Box(9, 0, 19, 20)))


def test_hard_negatives_come_from_under_the_median_in_proportion_to_p_visual() -> None:
    p_visual = np.array([0.8, 0.4, 0.9, 0.0, 0.5])
    p_association = np.array([0.01, 0.02, 0.9, 0.03, 0.5])
    drawn = sample_hard_negatives(p_visual, p_association, 9000, np.random.default_rng(0))
    share = np.bincount(drawn, minlength=5) / 9000
    assert share == pytest.approx([2 / 3, 1 / 3, 0, 0, 0], abs=0.02)


def test_hard_negatives_need_a_pool() -> None:
    with pytest.raises(ValueError, match="median"):
        sample_hard_negatives(np.ones(3), np.ones(3), 1, np.random.default_rng(0))
