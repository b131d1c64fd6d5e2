"""The label-free calibration: it finds what is there, whatever the scale, and nothing else."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from stgal_stream.core.calibration.calibrate import calibrate
from stgal_stream.core.calibration.link_test import LinkStatus, link_test
from stgal_stream.core.calibration.model import Calibration
from stgal_stream.core.calibration.pair_histogram import count_pairs
from stgal_stream.core.calibration.time_grid import TimeGrid
from stgal_stream.core.gallery.gallery import Gallery
from stgal_stream.core.gallery.known_negatives import known_negatives
from stgal_stream.core.gallery.normalisation import Normalisation
from stgal_stream.core.matching.pair_scorer import PairScorer
from stgal_stream.core.measures.travel_time import travel_time_s
from stgal_stream.core.tracker.site_tracker import SiteTracker
from stgal_stream.evaluation.retrieval import Ranking
from stgal_stream.settings import TrackerSettings
from stgal_stream.types import Tracklet
from tests.support.walk import simulated_walk


def calibrated(seed: int, scale: float = 1.0, noise: bool = False) -> tuple[Calibration, Gallery]:
    tracker = SiteTracker("s", TrackerSettings(first_calibration=10_000))
    rng = np.random.default_rng(seed)
    for seen in simulated_walk(seed, n_people=120, duration_s=3000):
        vector = rng.normal(size=24).astype(np.float32) if noise else seen.embedding
        tracker.observe(replace(seen, embedding=(vector * scale).astype(np.float32)))
    tracker.tick(1e9 + 3300)
    gallery = tracker.window.gallery
    return calibrate(gallery, tracker.settings, "v"), gallery


def test_finds_the_travel_times_and_calibrated_odds() -> None:
    found, gallery = calibrated(1)
    for pair, truth_s in ((("cam-0", "cam-1"), 36), (("cam-1", "cam-2"), 66)):
        model = found.pairs[pair]
        assert model.link is LinkStatus.LINKED
        assert model.log_time_ratio is not None
        mode_s = found.grid.edges_s()[int(np.argmax(model.log_time_ratio))]
        assert mode_s == pytest.approx(truth_s, rel=0.25)
    scorer = PairScorer(gallery)
    scorer.use(found)
    person = np.array([t.id.split("-")[0] for t in gallery.tracklets])
    odds = np.stack([s.log_odds for _, s in scorer.rows(gallery.numbers.tolist())])
    known = np.isfinite(odds) & np.triu(np.ones(odds.shape, bool), 1)
    same = (person[:, None] == person[None, :])[known]
    expected = 1 / (1 + np.exp(-odds[known]))
    assert expected.sum() == pytest.approx(same.sum(), rel=0.15)
    assert same[expected > 0.95].mean() > 0.9


@pytest.mark.parametrize("scale", [0.1, 30.0])
def test_the_scale_of_the_embeddings_changes_nothing(scale: float) -> None:
    one, _ = calibrated(2)
    other, _ = calibrated(2, scale)
    assert other.alpha == pytest.approx(one.alpha, rel=0.02)


@pytest.mark.parametrize("seed", range(5))
def test_noise_links_no_cameras(seed: int) -> None:
    found, _ = calibrated(seed, noise=True)
    linked = [pair for pair, m in found.pairs.items() if m.link is LinkStatus.LINKED]
    assert linked == []


def test_times_dealt_again_link_no_cameras() -> None:
    """The second control: embeddings as good as ever, times that say nothing."""
    _, gallery = calibrated(3)
    rng = np.random.default_rng(0)
    starts = rng.permutation(gallery.starts_s)
    shuffled = Gallery()
    for number, row in enumerate(np.argsort(starts, kind="stable").tolist()):
        at, old = float(starts[row]), gallery.tracklets[row]
        shuffled.add(replace(old, number=number, start_s=at, end_s=at + 4), at + 4)
    found = calibrate(shuffled, TrackerSettings(), "v")
    assert [pair for pair, m in found.pairs.items() if m.link is LinkStatus.LINKED] == []


def test_the_counts_are_those_of_all_pairs() -> None:
    _, gallery = calibrated(5)
    grid = TimeGrid()
    counts = count_pairs(gallery, np.arange(len(gallery)), grid, Normalisation())
    names = [t.camera for t in gallery.tracklets]
    assert len(counts.across.apart) == 3
    for part in counts.across.apart + counts.within.apart:
        d, t = [], []
        for i, j in itertools.combinations(range(len(gallery)), 2):
            if {names[i], names[j]} == set(part.pair):
                gap = travel_time_s(gallery.tracklets[i], gallery.tracklets[j])
                if names[i] != names[j] or gap > 0:
                    gap_vector = gallery.embeddings[i] - gallery.embeddings[j]
                    d.append(float(np.linalg.norm(gap_vector)))
                    t.append(gap)
        assert part.histogram.sum() == len(d)
        assert np.array_equal(
            part.histogram.sum(axis=0), np.bincount(grid.bins(t), minlength=grid.n)
        )
        centres = (np.arange(len(part.histogram)) + 0.5) * counts.width
        mean = float(part.histogram.sum(axis=1) @ centres / len(d))
        assert mean == pytest.approx(np.mean(d), abs=counts.width)


def test_alpha_ranks_as_well_as_the_best_in_hindsight() -> None:
    found, gallery = calibrated(6)
    person = np.array([int(t.id.split("-")[0][1:]) for t in gallery.tracklets])
    camera = np.array([int(t.camera[-1]) for t in gallery.tracklets])

    def mean_precision(alpha: float) -> float:
        ranking = Ranking(person, camera)
        scorer = PairScorer(gallery)
        scorer.calibration = replace(found, alpha=alpha)
        for number, scores in scorer.rows(gallery.numbers.tolist()):
            across = np.where(camera != camera[number], scores.p_association, 0.0)
            ranking.add(across, int(person[number]), int(camera[number]))
        return ranking.result().mAP

    best = max(mean_precision(found.alpha * m) for m in np.geomspace(0.1, 10, 12))
    assert mean_precision(found.alpha) > 0.95 * best


def test_camera_pairs_with_too_little_data_share_one_fit() -> None:
    """Sixteen cameras in pairs, a few people each: no pair can speak alone, all together can."""
    rng = np.random.default_rng(0)
    rows = []
    for site in range(8):
        for _ in range(9):
            at, point = rng.uniform(0, 3000), rng.normal(size=24)
            for camera, offset_s in ((2 * site, 0.0), (2 * site + 1, rng.uniform(35, 45))):
                vector = (point + 0.3 * rng.normal(size=24)).astype(np.float32)
                rows.append((at + offset_s, f"cam-{camera:02d}", vector))
    gallery = Gallery()
    for number, (at, name, vector) in enumerate(sorted(rows, key=lambda r: r[0])):
        gallery.add(Tracklet(number, name, at, at, vector, "x", (f"d{number}",)), at)
    found = calibrate(gallery, TrackerSettings(), "v")
    model = found.pairs["cam-00", "cam-01"]
    assert model.link is LinkStatus.TOO_LITTLE_DATA
    assert model.is_scored
    assert model.log_time_ratio is not None
    mode_s = found.grid.edges_s()[int(np.argmax(model.log_time_ratio))]
    assert mode_s == pytest.approx(40, rel=0.3)


def test_an_empty_gallery_and_a_single_tracklet_are_no_error() -> None:
    gallery = Gallery()
    assert calibrate(gallery, TrackerSettings(), "v").pairs == {}
    gallery.add(Tracklet(0, "A", 0, 1, np.ones(4, np.float32), "x", ("d",)), 2)
    (model,) = calibrate(gallery, TrackerSettings(), "v").pairs.values()
    assert model.link is LinkStatus.TOO_LITTLE_DATA


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


def test_views_that_overlap_are_linked_by_travel_time_zero_alone() -> None:
    background = np.full(96, 0.9 / 95)
    background[0] = 0.1
    rng = np.random.default_rng(0)
    spread = rng.uniform(1, 2000, 15)
    overlapping = np.where(np.arange(15) < 12, 0.0, spread)
    assert link_test(overlapping, background, (12, 0.1)) is LinkStatus.LINKED
    assert link_test(overlapping[:11], background, (11, 0.1)) is LinkStatus.TOO_LITTLE_DATA
    for seed in range(200):  # what chance alone brings
        draws = np.random.default_rng(seed).choice(96, 15, p=background)
        times = TimeGrid().centres_s()[draws]
        at_once = int((draws == 0).sum()), 0.1
        assert link_test(times, background, at_once) is not LinkStatus.LINKED


def test_who_was_in_two_views_at_one_time_is_counted_by_tracklet() -> None:
    """Also where a long track was cut and its parts' travel times are those of the whole."""
    rng, gallery = np.random.default_rng(5), Gallery()
    for number in range(120):
        start_s, camera = float(rng.integers(0, 300)), "ab"[number % 2]
        in_view_from_s = start_s - 200.0 if rng.random() < 0.5 else None
        vector = rng.normal(size=8).astype(np.float32)
        end_s = start_s + float(rng.integers(0, 20))
        gallery.add(
            Tracklet(
                number, camera, start_s, end_s, vector, "x", ("d",), track_start_s=in_view_from_s
            ),
            end_s,
        )
    counts = count_pairs(gallery, np.arange(120), TimeGrid(), Normalisation())
    (found,) = (*counts.across.apart, *filter(None, [counts.across.pooled]))
    mine, others = ([t for t in gallery.tracklets if t.camera == c] for c in "ab")
    parts = [
        [max(0.0, b.start_s - a.end_s, a.start_s - b.end_s) == 0 for b in others] for a in mine
    ]
    whole = [[travel_time_s(a, b) == 0 for b in others] for a in mine]
    assert found.n_simultaneous == np.sum(parts) < np.sum(whole) == found.histogram[:, 0].sum()
    d = np.array([[np.linalg.norm(a.embedding - b.embedding) for b in others] for a in mine])
    buddies = [(i, int(j)) for i, j in enumerate(d.argmin(axis=1)) if d[:, j].argmin() == i]
    assert found.n_buddies_simultaneous == sum(parts[i][j] for i, j in buddies)
    assert sorted(found.buddy_times) == sorted(
        travel_time_s(mine[i], others[j]) for i, j in buddies
    )
