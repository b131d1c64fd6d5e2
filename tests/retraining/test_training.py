"""Training on pseudo-pairs: what goes in, what a stop changes (nothing), and the gate."""

from __future__ import annotations

import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from stgal_stream.core.calibration import calibrate
from stgal_stream.extractor.from_onnx import network_of, normalise_by
from stgal_stream.extractor.onnx import SHIPPED, OnnxExtractor
from stgal_stream.retraining.batches import (
    Sampler,
    gallery_of,
    hard_negatives,
    known_negative_pairs,
)
from stgal_stream.retraining.gate import judge
from stgal_stream.retraining.loader import Loader
from stgal_stream.retraining.pseudo_pairs import PseudoPair, Sighting, are_apart
from stgal_stream.retraining.training import (
    Progress,
    Training,
    TrainingSettings,
    read_checkpoint,
)
from stgal_stream.types import Position, TrackerSettings

CPU = ("CPUExecutionProvider",)


def walk(seed: int, n_people: int = 400) -> tuple[list[Sighting], np.ndarray]:
    """People who go through three cameras, 40 s and 70 s apart: sightings and who they are."""
    rng = np.random.default_rng(seed)
    found = []
    for person in range(n_people):
        start_s = float(rng.uniform(0, 6000))
        for camera, offset_s in enumerate((0.0, 40.0, 110.0)):
            at_s = start_s + offset_s * float(rng.uniform(0.9, 1.1))
            at = Position("d", 0, len(found))
            found.append(
                (person, Sighting(f"{person}-{camera}", "s", f"c{camera}", at_s, at_s + 4, at))
            )
    found.sort(key=lambda item: item[1].start_s)
    return [s for _, s in found], np.array([person for person, _ in found])


def features(person: np.ndarray, noise: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    points = np.random.default_rng(99).normal(size=(person.max() + 1, 32))
    return (points[person] + noise * rng.normal(size=(len(person), 32))).astype(np.float32)


def true_pairs(person: np.ndarray) -> list[PseudoPair]:
    order = np.argsort(person, kind="stable")
    return [
        PseudoPair(min(a, b), max(a, b), 0.9)
        for a, b in pairwise(order.tolist())
        if person[a] == person[b]
    ]


def test_the_weights_of_an_export_come_back() -> None:
    extractor, network = OnnxExtractor(SHIPPED, providers=CPU), network_of(SHIPPED)
    crops = np.random.default_rng(1).integers(0, 256, (4, 96, 48, 3), dtype=np.uint8)
    with torch.no_grad():
        found = network(torch.from_numpy(extractor.form.normalise(crops))).numpy()
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    assert found == pytest.approx(extractor.embed(crops), abs=1e-4)


def test_statistics_of_crops_change_nothing_that_is_computed() -> None:
    form, network = OnnxExtractor(SHIPPED, providers=CPU).form, network_of(SHIPPED)
    crops = np.random.default_rng(1).integers(0, 256, (6, 96, 48, 3), dtype=np.uint8)
    images = torch.from_numpy(form.normalise(crops))
    with torch.no_grad():
        before = network(images)
        normalise_by(network, images)
        assert torch.allclose(network(images), before, atol=1e-3)
        # And a batch's own statistics are those, so training starts where the daemon is.
        assert torch.allclose(network.train()(images), before, atol=1e-3)


def test_a_batch_holds_pairs_and_their_negatives_and_depends_on_its_number_alone() -> None:
    sightings, person = walk(1)
    pairs = true_pairs(person)
    embeddings = features(person, 0.6, 2)
    queries = sorted({row for p in pairs for row in (p.first, p.second)})
    negatives = hard_negatives(sightings, embeddings, queries, 0)
    for query, rows in negatives.items():
        assert all(sightings[r].camera != sightings[query].camera for r in rows.tolist())
    # Time excludes the person himself nearly always: he lies over the median of P_a.
    hit = np.mean([(person[rows] == person[q]).mean() for q, rows in negatives.items()])
    assert hit < 0.02
    one, again = (Sampler(pairs, negatives, 3, 8, [3] * len(person), 2).batch(5) for _ in range(2))
    assert one[0].rows.tolist() == again[0].rows.tolist()
    assert one[0].views.tolist() == again[0].views.tolist()
    batch = one[0]
    crops = list(zip(batch.rows.tolist(), batch.views.tolist(), strict=True))
    assert len(crops) == len(set(crops))
    linked = {(p.first, p.second) for p in pairs}
    for i, a in enumerate(batch.rows.tolist()):
        for j, b in enumerate(batch.rows.tolist()):
            is_linked = (min(a, b), max(a, b)) in linked
            assert batch.same[i, j] == (i != j and (a == b or is_linked))
            assert not (batch.same[i, j] and batch.other[i, j])


def test_pairs_are_drawn_by_their_posterior_or_all_alike() -> None:
    pairs = [PseudoPair(0, 1, 0.9), PseudoPair(2, 3, 0.1)]
    for weighted, share in ((True, 0.9), (False, 0.5)):
        sampler = Sampler(pairs, {}, 3, 1, [1] * 4, 1, weighted=weighted)
        drawn = [0 in sampler.batch(number)[0].rows for number in range(400)]
        assert np.mean(drawn) == pytest.approx(share, abs=0.06)


def test_where_no_travel_time_is_known_any_other_camera_gives_negatives() -> None:
    """Nothing is learned from so few, so nobody is drawn for looking alike: that is the person."""
    sightings, person = walk(2, n_people=20)
    person = np.random.default_rng(4).permutation(person)  # so that times mean nothing
    embeddings = features(person, 0.1, 3)
    queries = list(range(len(sightings)))
    negatives = hard_negatives(sightings, embeddings, queries, 0)
    assert sorted(negatives) == queries
    for query, rows in negatives.items():
        assert all(sightings[r].camera != sightings[query].camera for r in rows.tolist())
    own = np.mean([(person[rows] == person[q]).mean() for q, rows in negatives.items()])
    assert own == pytest.approx(1 / 20, abs=0.03)


def test_stopped_and_resumed_is_as_never_stopped(tmp_path: Path) -> None:
    form = OnnxExtractor(SHIPPED, providers=CPU).form
    views = list(np.random.default_rng(4).integers(0, 256, (12, 3, 96, 48, 3), dtype=np.uint8))
    pairs = [PseudoPair(i, i + 1, 0.9) for i in range(0, 12, 2)]
    settings = TrainingSettings(iterations=4, n_pairs=3, seed=1)

    def training(name: str) -> Training:
        network = network_of(SHIPPED)
        normalise_by(network, torch.from_numpy(form.normalise(np.concatenate(views))))
        return Training(network, settings, tmp_path / f"{name}.pt", {})

    sampler = Sampler(pairs, {}, settings.seed, settings.n_pairs, [3] * 12, settings.n_views)
    loader = Loader(sampler, views, form)
    whole = training("whole")
    assert whole.run(loader, threading.Event())
    stop, first = threading.Event(), training("cut")

    def stop_after_two(progress: Progress) -> None:
        if progress.iteration == 2:
            stop.set()

    assert not first.run(loader, stop, stop_after_two)
    state = read_checkpoint(tmp_path / "cut.pt")
    assert state is not None
    second = training("cut")
    second.resume(state)
    assert second.run(loader, threading.Event())
    assert second.losses == whole.losses
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, second.network.state_dict()[name]), name


@pytest.mark.parametrize(
    ("noise", "shuffled", "passed"), [(0.5, False, True), (1.6, False, False), (0.5, True, False)]
)
def test_the_gate_lets_through_what_is_better_and_nothing_else(
    noise: float, shuffled: bool, passed: bool
) -> None:
    sightings, person = walk(5)
    split = len(sightings) // 2
    before = features(person, 1.1, 6)
    after = features(np.random.default_rng(8).permutation(person) if shuffled else person, noise, 7)
    learned = calibrate(
        gallery_of(sightings[:split], before[:split]), TrackerSettings(max_tracklets=5000), "before"
    )
    held = [
        PseudoPair(p.first - split, p.second - split, p.posterior)
        for p in true_pairs(person)
        if p.first >= split
    ]
    verdict = judge(sightings[split:], held, before[split:], after[split:], learned)
    assert verdict.passed == passed, verdict


def test_nan_embeddings_do_not_pass() -> None:
    sightings, person = walk(5)
    before = features(person, 1.1, 6)
    learned = calibrate(gallery_of(sightings, before), TrackerSettings(max_tracklets=5000), "b")
    broken = np.full_like(before, np.nan)
    assert not judge(sightings, true_pairs(person), before, broken, learned).passed


def test_known_negatives_are_those_of_one_camera_and_time() -> None:
    sightings, _ = walk(9, n_people=80)
    wanted = {
        (i, j)
        for i in range(len(sightings))
        for j in range(i + 1, len(sightings))
        if are_apart(sightings[i], sightings[j])
    }
    assert set(map(tuple, known_negative_pairs(sightings).tolist())) == wanted
