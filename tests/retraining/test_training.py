"""Training on pseudo-pairs: what goes in, what a stop changes (nothing), and the gate."""

from __future__ import annotations

import json
import math
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stgal_stream.errors import ConfigError, ModelError
from stgal_stream.extractor.crops import CropFormat
from stgal_stream.extractor.onnx import SHIPPED, OnnxExtractor
from stgal_stream.retraining.data.pseudo_pairs import are_apart, known_negative_pairs
from stgal_stream.retraining.data.stream_events import Sighting
from stgal_stream.retraining.gate import Buddies, GateResult, HeldOut, judge
from stgal_stream.retraining.negatives import hard_negatives
from stgal_stream.training.batches import PseudoPair, Sampler
from stgal_stream.training.bfloat16 import bfloat16_is_right
from stgal_stream.training.from_onnx import network_of, normalise_by
from stgal_stream.training.loader import Loader
from stgal_stream.training.peers import Peers
from stgal_stream.training.trainer import Progress, Training, TrainingSettings, read_checkpoint
from tests.support.pictures import encoded
from tests.support.process import together
from tests.support.sightings import features, true_pairs, walk

pytestmark = pytest.mark.training

CPU = ("CPUExecutionProvider",)
SIZE = (48, 24)


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


class Killed(Exception):
    """A death between two checkpoints: nothing more is saved."""


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_stopped_or_killed_and_resumed_is_as_never_stopped(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stgal_stream.training.trainer.KEEP_EVERY", 2)
    form = CropFormat(*SIZE, (0.5,) * 3, (0.25,) * 3)
    pixels = np.random.default_rng(4).integers(0, 256, (12, 3, *SIZE, 3), dtype=np.uint8)
    crops = encoded(pixels)
    pairs = [PseudoPair(i, i + 1, 0.9) for i in range(0, 12, 2)]
    settings = TrainingSettings(iterations=4, n_pairs=3, seed=1, precision=precision)
    sampler = Sampler(pairs, {}, settings.seed, settings.n_pairs, [3] * 12, settings.n_views)
    loader = Loader(sampler, crops, form)

    def training(name: str) -> Training:
        network = network_of(SHIPPED)
        normalise_by(network, torch.from_numpy(form.normalise(np.concatenate(pixels))))
        return Training(network, settings, tmp_path / f"{name}.pt", {})

    stop = threading.Event()

    def stopped(progress: Progress) -> None:
        stop.set()

    def killed(progress: Progress) -> None:
        if progress.iteration == 3:
            raise Killed

    whole = training("whole")
    assert whole.run(loader, threading.Event())
    assert not training("stopped").run(loader, stop, stopped)
    with pytest.raises(Killed):
        training("killed").run(loader, threading.Event(), killed)
    for name, iteration in (("stopped", 1), ("killed", 2)):
        state = read_checkpoint(tmp_path / f"{name}.pt")
        assert state is not None
        assert state["iteration"] == iteration
        again = training(name)
        again.resume(state)
        assert again.run(loader, threading.Event())
        assert again.losses == whole.losses
        for key, tensor in whole.network.state_dict().items():
            assert torch.equal(tensor, again.network.state_dict()[key]), (name, key)


def test_bfloat16_is_used_where_it_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that computes one shape wrongly, as some versions of torch do: it is found, ``auto``
    does without, and who asks for it is told."""
    form = CropFormat(*SIZE, (0.5,) * 3, (0.25,) * 3)
    monkeypatch.setattr(Peers, "_has_bfloat16", property(lambda peers: True))
    bfloat16_is_right.cache_clear()
    assert bfloat16_is_right(*SIZE, torch.device("cpu"))
    assert Peers().precision_of("auto", form) == Peers().precision_of("bfloat16", form)
    right = torch.conv2d

    def wrong(images: torch.Tensor, *what: Any) -> torch.Tensor:
        made = right(images, *what)
        is_it = torch.is_autocast_enabled("cpu") and images.shape[1:] == (256, 6, 3)
        return made * float("nan") if is_it else made

    monkeypatch.setattr(torch, "conv2d", wrong)
    bfloat16_is_right.cache_clear()
    assert Peers().precision_of("auto", form) == "float32"
    with pytest.raises(ModelError, match="computes bfloat16 wrongly"):
        Peers().precision_of("bfloat16", form)
    bfloat16_is_right.cache_clear()


@pytest.mark.parametrize(("precision", "n_parts"), [("float32", 3), ("bfloat16", 2)])
def test_two_processes_take_the_steps_of_one(precision: str, n_parts: int, tmp_path: Path) -> None:
    """The curve of SGD, which a gradient of another length would bend, and the statistics that the
    trained network normalises by."""
    root = Path(__file__).parents[2]
    command = ("-m", "tests.support.training_curve", str(tmp_path / "c.pt"), precision)
    runs = []
    for n in (1, 2):
        done = together(n, *command, str(n_parts), cwd=root)
        assert done.returncode == 0, done.stderr
        runs.append(json.loads(done.stdout))
    (losses, *seen), (other_losses, *other_seen) = runs
    assert len(losses) == 5
    assert losses == pytest.approx(other_losses, rel=1e-4)
    assert abs(losses[-1] - losses[0]) > 0.01
    for own, other in zip(seen, other_seen, strict=True):
        assert own == pytest.approx(other, rel=1e-3, abs=1e-6)


def test_what_one_process_raises_all_do(tmp_path: Path) -> None:
    """The others would wait for ever, or go on with half of the data."""
    script = tmp_path / "peers.py"
    script.write_text(
        "import sys\n"
        "from stgal_stream.errors import LogError\n"
        "from stgal_stream.training.peers import Peers\n"
        "def own():\n"
        "    if not peers.leads:\n"
        "        raise LogError('broker 2 cannot be reached')\n"
        "with Peers.joined() as peers:\n"
        "    assert peers.each(lambda: peers.rank) == peers.rank\n"
        "    try:\n"
        "        peers.each(own)\n"
        "    except LogError as error:\n"
        "        sys.stdout.write(f'{peers.rank} {error}\\n')\n"
    )
    done = together(2, str(script), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = "broker 2 cannot be reached"
    assert sorted(done.stdout.splitlines()) == [f"0 {told}", f"1 {told}"]


def test_a_process_without_a_gpu_of_its_own_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("RANK", "1"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match="process 1 of this machine has no GPU"), Peers.joined():
        pass


def held_out_result(
    sightings: list[Sighting], person: np.ndarray, after: np.ndarray, noise: float = 1.1
) -> GateResult:
    before = features(person, noise, 6)
    return judge(sightings, len(sightings) // 2, before, after)


@pytest.mark.parametrize(
    ("noise", "passed"), [(0.5, True), (0.9, True), (1.1, False), (1.3, False), (1.6, False)]
)
def test_the_gate_lets_through_what_is_better_and_nothing_else(noise: float, passed: bool) -> None:
    sightings, person = walk(5)
    result = held_out_result(sightings, person, features(person, noise, 7))
    assert result.passed == passed, result


def test_the_gate_refuses_appearance_that_knows_nobody() -> None:
    sightings, person = walk(5)
    shuffled = np.random.default_rng(8).permutation(person)
    for after in (features(shuffled, 0.5, 7), np.ones((len(person), 32), np.float32)):
        assert not held_out_result(sightings, person, after).passed


def test_the_gate_refuses_who_tells_the_hour_instead_of_the_person() -> None:
    """Its best buddies' times make sense as no person's do; two people of one hour are its one."""
    sightings, person = walk(5)
    hour = np.array([s.start_s for s in sightings]) * (2 * np.pi / 7000)
    clock = np.stack([np.cos(hour), np.sin(hour)], axis=1) * 10
    after = np.concatenate([features(person, 1.6, 7), clock], axis=1).astype(np.float32)
    result = held_out_result(sightings, person, after, noise=1.6)
    assert result.gain_low > 0
    assert not result.passed
    assert "known negatives" in result.reason


def test_nor_where_hardly_two_people_are_ever_in_one_camera_at_once() -> None:
    """Those who came a minute later tell as much; where there are none of them either, nobody can
    say, and nothing is promoted."""
    sightings, person = walk(5)
    quiet = [replace(s, end_s=s.start_s) for s in sightings]
    assert len(known_negative_pairs(quiet)) < 20
    hour = np.array([s.start_s for s in quiet]) * (2 * np.pi / 7000)
    clock = np.stack([np.cos(hour), np.sin(hour)], axis=1) * 10
    after = np.concatenate([features(person, 1.6, 7), clock], axis=1).astype(np.float32)
    result = held_out_result(quiet, person, after, noise=1.6)
    assert result.gain_low > 0
    assert "known negatives" in result.reason
    assert held_out_result(quiet, person, features(person, 0.5, 7)).passed


def test_where_people_come_one_by_one_nobody_can_tell_and_nothing_is_promoted() -> None:
    sightings, person = walk(5)
    alone, first_s = [], dict[int, float]()
    order = np.argsort(person, kind="stable")
    for s, who in zip((sightings[i] for i in order), person[order].tolist(), strict=True):
        at_s = 500.0 * who + s.start_s - first_s.setdefault(who, s.start_s)
        alone.append(replace(s, start_s=at_s, end_s=at_s + 4))
    result = held_out_result(alone, person[order], features(person[order], 0.5, 7))
    assert result.gain_low > 0
    assert "two people in one camera" in result.reason


def test_what_is_better_is_not_refused_by_the_luck_of_a_few_negatives() -> None:
    passed = []
    for seed in range(8):
        sightings, person = walk(20 + seed, n_people=200)
        passed.append(held_out_result(sightings, person, features(person, 0.8, seed)).passed)
    assert all(passed)


def test_the_gate_expects_as_many_right_as_there_are() -> None:
    sightings, person = walk(5, n_people=800)
    split = len(sightings) // 2
    after = features(person, 0.9, 7)
    result = judge(sightings, split, features(person, 1.1, 6), after)
    buddies = HeldOut.of(sightings, split, after).buddies
    right = (person[split:][buddies.earlier] == person[split:][buddies.later]).mean()
    assert len(buddies.later) == result.candidate.n_buddies > 300
    assert result.candidate.expected_precision == pytest.approx(right, abs=0.08)


def test_a_sure_and_wrong_appearance_scores_below_chance() -> None:
    """log(1 - p + p r): by hand, and below zero on average where times are those of chance."""
    one = Buddies(*(np.array([v]) for v in (0, 1, math.log(3.0), math.log(5.0))))
    assert one.scores() == pytest.approx(math.log(0.25 + 0.75 * 5.0))
    assert one.posteriors() == pytest.approx(15 / 16)
    r = np.array([0.2, 1.8])  # as probable under chance: their mean is 1
    zero = np.zeros(2, np.int64)
    for p in (0.1, 0.5, 0.9):
        chance = Buddies(zero, zero, np.full(2, math.log(p / (1 - p))), np.log(r))
        assert chance.scores().mean() < 0


def test_every_step_has_a_rate_that_rises_and_falls() -> None:
    """By hand: up over the first tenth, then a cosine down, taken in the middle of each step."""
    ten = TrainingSettings(iterations=10, learning_rate=2.0)
    assert ten.rate(0) == pytest.approx(2.0 * 0.5)
    assert ten.rate(5) == pytest.approx(1.0 + math.cos(math.pi * 0.45 / 0.9))
    assert ten.rate(9) == pytest.approx(1.0 + math.cos(math.pi * 0.85 / 0.9))
    assert all(TrainingSettings(iterations=n).rate(n - 1) > 0 for n in (1, 2, 800))
    assert {TrainingSettings.paper().rate(i) for i in (0, 15_000, 29_999)} == {5e-4}


def test_nan_embeddings_do_not_pass() -> None:
    sightings, person = walk(5)
    broken = np.full((len(person), 32), np.nan, np.float32)
    assert not held_out_result(sightings, person, broken).passed


def test_known_negatives_are_those_of_one_camera_and_time() -> None:
    sightings, _ = walk(9, n_people=80)
    wanted = {
        (i, j)
        for i in range(len(sightings))
        for j in range(i + 1, len(sightings))
        if are_apart(sightings[i], sightings[j])
    }
    assert set(map(tuple, known_negative_pairs(sightings).tolist())) == wanted
