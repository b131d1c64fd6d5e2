"""Pairs chosen again, and tracks that one camera alone tells apart."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from stgal_stream.core.calibration.calibrate import calibrate
from stgal_stream.core.matching.pair_scorer import PairScorer
from stgal_stream.errors import DataError
from stgal_stream.experiments.pair_choice import choose_pairs, random_negatives
from stgal_stream.retraining.data.pseudo_pairs import are_apart, without_conflicts
from stgal_stream.retraining.data.stream_events import Sighting
from stgal_stream.retraining.intra_camera import PERIOD_S, IntraCameraSampler
from stgal_stream.retraining.negatives import gallery_of
from stgal_stream.settings import TrackerSettings
from stgal_stream.training.batches import PseudoPair
from tests.support.sightings import features, walk
from tests.support.walked_best_buddies import walked_best_buddies


def test_chosen_pairs_are_those_of_the_reference_that_are_probable() -> None:
    sightings, person = walk(1, n_people=120)
    embeddings = features(person, 0.7, 2)
    gallery = gallery_of(sightings, embeddings)
    scorer = PairScorer(gallery)
    scorer.use(calibrate(gallery, TrackerSettings(max_tracklets=len(sightings)), "t"))
    scores = [s for _, s in scorer.rows(range(len(sightings)))]
    matrix = np.stack([s.p_association for s in scores])
    odds = np.nan_to_num(np.stack([s.log_odds for s in scores]), nan=-np.inf)
    for iterated in (False, True):
        found = {
            (p.first, p.second) for p in choose_pairs(sightings, embeddings, iterated=iterated)
        }
        wanted = {
            (i, j)
            for i, j in walked_best_buddies(matrix, gallery.cameras.tolist(), iterated=iterated)
            if sightings[i].camera != sightings[j].camera and odds[i, j] >= 0
        }
        assert found <= wanted
        assert len(found) > 0.9 * len(wanted) > 50  # the rest contradict better ones
        assert np.mean([person[i] == person[j] for i, j in found]) > 0.9


def test_random_negatives_are_of_other_cameras() -> None:
    sightings, _ = walk(1, n_people=50)
    for query, rows in random_negatives(sightings, [0, 7, 20], 3).items():
        assert all(sightings[r].camera != sightings[query].camera for r in rows.tolist())


def test_tracks_of_one_camera_and_period_are_told_apart_and_no_others() -> None:
    sightings, _ = walk(4, n_people=200)
    sampler = IntraCameraSampler(sightings, 3, 12, [3] * len(sightings), 2)
    one, again = sampler.batch(5)[0], sampler.batch(5)[0]
    assert one.rows.tolist() == again.rows.tolist()
    assert len(one.rows) == 24
    assert one.other.any()
    for i, a in enumerate(one.rows.tolist()):
        for j, b in enumerate(one.rows.tolist()):
            assert one.same[i, j] == (a == b and i != j)
            if one.other[i, j]:
                assert sightings[a].camera == sightings[b].camera
                assert abs(sightings[a].start_s - sightings[b].start_s) < PERIOD_S
                gap_s = max(
                    sightings[a].start_s - sightings[b].end_s,
                    sightings[b].start_s - sightings[a].end_s,
                )
                assert not 0 < gap_s <= 20  # a track that broke, a visit in pieces
            elif a != b and are_apart(sightings[a], sightings[b]):
                assert sightings[a].start_s // PERIOD_S != sightings[b].start_s // PERIOD_S


def test_where_tracks_follow_each_other_closely_nothing_is_told_apart() -> None:
    """A doorway that one person after the other walks through: each may be a piece of one track."""
    near = [Sighting(f"{i}", "s", "c", 15.0 * i, 15.0 * i + 2, None) for i in range(30)]
    with pytest.raises(DataError, match="nothing to tell apart"):
        IntraCameraSampler([near[0], *near[8::8]], 0, 4, [1] * 5, 2)
    assert IntraCameraSampler(near, 0, 4, [1] * 30, 2).n_tracks == 30
    with pytest.raises(DataError, match="nothing to tell apart"):
        IntraCameraSampler([near[0], near[1]], 0, 4, [1] * 2, 2)


def test_no_chain_of_pairs_makes_one_identity_of_two_at_one_time() -> None:
    def at(name: str, camera: str, start_s: float) -> Sighting:
        return Sighting(name, "s", camera, start_s, start_s + 5, None)

    seen = [at("a", "c", 0), at("b", "c", 2), at("d", "e", 60), at("f", "g", 90), at("h", "e", 200)]
    themselves = [PseudoPair(0, 1, 0.9)]
    chain = [PseudoPair(0, 2, 0.9), PseudoPair(2, 3, 0.8), PseudoPair(1, 3, 0.7)]
    apart = [PseudoPair(0, 2, 0.6), PseudoPair(1, 2, 0.9), PseudoPair(1, 4, 0.8)]
    for pairs, kept in ((themselves, []), (chain, chain[:2]), (apart, apart[1:])):
        left_out: Counter[str] = Counter()
        assert without_conflicts(pairs, seen, left_out) == kept
        assert left_out["conflict"] == len(pairs) - len(kept)
    closed = [PseudoPair(0, 2, 0.9), PseudoPair(2, 3, 0.8), PseudoPair(0, 3, 0.7)]
    assert without_conflicts(closed, seen, Counter()) == [closed[0], closed[2], closed[1]]
