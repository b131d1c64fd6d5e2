"""The label-free calibration: it finds what is there, whatever the scale, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stgal_stream.core.calibration import Calibration, calibrate, known_negatives
from stgal_stream.core.gallery import Gallery
from stgal_stream.core.mixture import Verdict
from stgal_stream.core.scorer import Scorer
from stgal_stream.core.site_tracker import SiteTracker
from stgal_stream.types import TrackerSettings, Tracklet

from ..conftest import simulated_walk


def calibrated(seed: int, scale: float = 1.0, noise: bool = False) -> tuple[Calibration, Gallery]:
    tracker = SiteTracker("s", TrackerSettings(first_calibration=10_000))
    rng = np.random.default_rng(seed)
    for seen in simulated_walk(seed, n_people=120, duration_s=3000):
        vector = rng.normal(size=24).astype(np.float32) if noise else seen.embedding
        tracker.observe(replace(seen, embedding=(vector * scale).astype(np.float32)))
    tracker.tick(1e9 + 3300)
    gallery = tracker.associator.gallery
    return calibrate(gallery, tracker.settings, "v"), gallery


def test_finds_the_travel_times_and_calibrated_odds() -> None:
    found, gallery = calibrated(1)
    for pair, truth_s in ((("cam-0", "cam-1"), 36), (("cam-1", "cam-2"), 66)):
        model = found.pairs[pair]
        assert model.verdict is Verdict.LINKED
        assert model.log_time_ratio is not None
        mode_s = found.grid.edges_s()[int(np.argmax(model.log_time_ratio))]
        assert mode_s == pytest.approx(truth_s, rel=0.25)
    scorer = Scorer(gallery)
    scorer.calibration = found
    person = np.array([t.id.split("-")[0] for t in gallery.tracklets])
    odds = np.stack([s.log_odds for _, s in scorer.rows(gallery.numbers.tolist())])
    known = np.isfinite(odds) & np.triu(np.ones(odds.shape, bool), 1)
    same = (person[:, None] == person[None, :])[known]
    expected = 1 / (1 + np.exp(-odds[known]))
    assert expected.sum() == pytest.approx(same.sum(), rel=0.15)
    assert same[expected > 0.95].mean() > 0.9


@pytest.mark.parametrize("scale", [0.1, 30.0])
def test_alpha_follows_the_scale_of_the_embeddings(scale: float) -> None:
    one, _ = calibrated(2)
    other, _ = calibrated(2, scale)
    assert other.alpha * scale == pytest.approx(one.alpha, rel=0.02)


@pytest.mark.parametrize("seed", range(5))
def test_noise_links_no_cameras(seed: int) -> None:
    found, _ = calibrated(seed, noise=True)
    linked = [pair for pair, m in found.pairs.items() if m.verdict is Verdict.LINKED]
    assert linked == []


def test_an_empty_gallery_and_a_single_tracklet_are_no_error() -> None:
    gallery = Gallery()
    assert calibrate(gallery, TrackerSettings(), "v").pairs == {}
    gallery.add(Tracklet(0, "A", 0, 1, np.ones(4, np.float32), "x", ("d",)), 2)
    (model,) = calibrate(gallery, TrackerSettings(), "v").pairs.values()
    assert model.verdict is Verdict.TOO_LITTLE_DATA


def test_known_negatives_equal_brute_force() -> None:
    _, gallery = calibrated(4)
    tracklets = gallery.tracklets
    wanted = {
        (i, j)
        for j, second in enumerate(tracklets)
        for i, first in enumerate(tracklets[:j])
        if first.camera == second.camera
        and first.start_s <= second.end_s
        and second.start_s <= first.end_s
    }
    assert {(min(p), max(p)) for p in known_negatives(gallery)} == wanted
