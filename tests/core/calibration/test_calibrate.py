"""The label-free calibration: it finds what is there, whatever the scale, and nothing else."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from stgal_stream.core.calibration.calibrate import calibrate, independent_sightings
from stgal_stream.core.calibration.link_test import LinkStatus
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
from stgal_stream.types import Tracklet, camera_pair
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
        distance, time = np.divmod(part.cells, grid.n)
        assert part.counts.sum() == len(d)
        by_time = np.bincount(time, part.counts, minlength=grid.n)
        assert np.array_equal(by_time, np.bincount(grid.bins(t), minlength=grid.n))
        mean = float(part.counts @ ((distance + 0.5) * counts.width) / len(d))
        assert mean == pytest.approx(np.mean(d), abs=counts.width)


def test_alpha_ranks_as_well_as_the_best_in_hindsight() -> None:
    found, gallery = calibrated(6)
    person = np.array([int(t.id.split("-")[0][1:]) for t in gallery.tracklets])
    camera = np.array([int(t.camera[-1]) for t in gallery.tracklets])

    def mean_precision(alpha: float) -> float:
        ranking = Ranking(person, camera)
        scorer = PairScorer(gallery, replace(found, alpha=alpha))
        for number, scores in scorer.rows(gallery.numbers.tolist()):
            across = np.where(camera != camera[number], scores.p_association, 0.0)
            ranking.add(across, int(person[number]), int(camera[number]))
        return ranking.result().mAP

    best = max(mean_precision(found.alpha * m) for m in np.geomspace(0.1, 10, 12))
    assert mean_precision(found.alpha) > 0.95 * best


def test_p_travel_is_the_posterior_by_time_alone() -> None:
    """By the numbers of the mixture, and close to counting who is who at each travel time."""
    found, gallery = calibrated(6)
    people = [t.id.split("-")[0] for t in gallery.tracklets]
    for pair, model in found.pairs.items():
        if model.p_travel is None or pair[0] == pair[1]:
            continue
        assert model.log_time_ratio is not None
        odds = np.exp(model.log_prior_odds + model.log_time_ratio)
        assert model.p_travel == pytest.approx(odds / (1 + odds))
        right, total = np.zeros(found.grid.n), np.zeros(found.grid.n)
        for i, first in enumerate(gallery.tracklets):
            for j, second in enumerate(gallery.tracklets[:i]):
                if camera_pair(first.camera, second.camera) == pair:
                    at = int(found.grid.bins(travel_time_s(first, second)))
                    total[at] += 1
                    right[at] += people[i] == people[j]
        # Of all pairs of the two cameras as many are of one person as there are.
        assert float(total @ model.p_travel) == pytest.approx(right.sum(), rel=0.25)


def test_camera_pairs_with_too_little_data_borrow_from_all() -> None:
    """Sixteen cameras in pairs, six people each: no pair can speak alone, all together can."""
    rng = np.random.default_rng(0)
    rows = []
    for site in range(8):
        for _ in range(6):
            at, point = rng.uniform(0, 3000), rng.normal(size=24)
            for camera, offset_s in ((2 * site, 0.0), (2 * site + 1, rng.uniform(35, 45))):
                vector = (point + 0.3 * rng.normal(size=24)).astype(np.float32)
                rows.append((at + offset_s, f"cam-{camera:02d}", vector))
    gallery = Gallery()
    for number, (at, name, vector) in enumerate(sorted(rows, key=lambda r: r[0])):
        gallery.add(Tracklet(number, name, at, at, vector, "x", (f"d{number}",)), at)
    found = calibrate(gallery, TrackerSettings(), "v")
    model = found.pairs["cam-00", "cam-01"]
    assert model.link is not LinkStatus.LINKED
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


def test_a_long_track_counts_once_and_travel_begins_where_the_whole_of_it_ends() -> None:
    """Cut at 30 s: dwell is not travel."""
    rng, gallery = np.random.default_rng(5), Gallery()
    rows = []
    for person in range(12):
        start_s, point = 200.0 * person, rng.normal(size=16)
        for part in range(6):
            from_s = start_s + 30.0 * part
            rows.append((from_s + 30, "a", from_s, start_s, f"t{person}", point))
        out_s = start_s + 180 + 20 + rng.uniform(-1, 1)
        rows.append((out_s + 5, "b", out_s, out_s, f"u{person}", point))
    for number, (end_s, camera, from_s, track_s, name, point) in enumerate(sorted(rows)):
        vector = (point + 0.1 * rng.normal(size=16)).astype(np.float32)
        gallery.add(
            Tracklet(number, camera, from_s, end_s, vector, "x", ("d",), name,
                     track_start_s=track_s),
            end_s,
        )  # fmt: skip
    counts = count_pairs(gallery, np.arange(len(gallery)), TimeGrid(), Normalisation())
    (found,) = counts.across.apart
    assert 10 <= len(found.facts) <= 12  # a person as alike as another counts with that one
    assert np.median(found.buddy_times) == pytest.approx(20, abs=2)


def test_ten_boxes_a_second_are_one_sighting() -> None:
    settings, gallery = TrackerSettings(), Gallery()
    for number in range(100):
        at_s = number / 10
        vector = np.ones(4, np.float32)
        gallery.add(Tracklet(number, "a", at_s, at_s, vector, "x", (f"{number}",)), at_s)
    kept = independent_sightings(gallery, np.arange(100), settings)
    assert kept.tolist() == [0, 50]
