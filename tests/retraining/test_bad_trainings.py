"""Whole trainings on data that is wrong, or gone wrong: the gate refuses what came of them, and the
same training on what the stream really said passes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from stgal_stream.configuration import load_config
from stgal_stream.daemon import Daemon
from stgal_stream.extractor.encoded_crops import EncodedCrops
from stgal_stream.extractor.onnx import SHIPPED, OnnxExtractor
from stgal_stream.extractor.releases import Releases
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.retraining.data.pseudo_pairs import StreamData
from stgal_stream.retraining.data.sources import LogSource, OnProgress, Until
from stgal_stream.retraining.job import Job, Outcome
from stgal_stream.retraining.job_settings import JobSettings
from stgal_stream.settings import Config
from stgal_stream.streaming.extractor_rollout.state import RolloutState
from stgal_stream.training.batches import PseudoPair
from stgal_stream.training.export import export, imagenet_format
from stgal_stream.training.from_onnx import network_of
from stgal_stream.training.peers import Peers
from stgal_stream.training.trainer import TrainingSettings
from stgal_stream.wire.rollout import RolloutRecord
from tests.support.streams import publish, rendered

pytestmark = pytest.mark.training

HELD_OUT = 0.4
Site = tuple[EmbeddedLog, Config]
Spoil = Callable[[StreamData, int], None]


@pytest.fixture(scope="module")
def weak(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped extractor on crops of half its size: it has much to gain."""
    path = tmp_path_factory.mktemp("weak") / "weak.onnx"
    export(network_of(SHIPPED), path, imagenet_format(48, 24), version="weak", unit_length=True)
    return path


@pytest.fixture(scope="module")
def site(weak: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A simulated site that went through a daemon with the weak extractor."""
    folder = tmp_path_factory.mktemp("site")
    config = load_config(None, {})
    config.embed.model = str(weak)
    config.input.max_future_s = float("inf")
    config.daemon.state_dir = str(folder / "state")
    log = EmbeddedLog(folder / "log")
    publish(log, config, rendered(11, n_people=120, duration_s=1500.0))
    end = threading.Event()
    end.set()
    Daemon(log, config).run(end=end, serve=False)
    yield log, config
    log.close()


class Spoiled:
    """What a log holds, with something done to it before it is trained on."""

    def __init__(self, source: LogSource, spoil: Spoil) -> None:
        self._source = source
        self._spoil = spoil
        self.identity, self.until, self.knows = source.identity, source.until, source.knows

    def read(
        self, until: Until, extractor: OnnxExtractor, most: int, on_progress: OnProgress
    ) -> StreamData:
        data = self._source.read(until, extractor, most, on_progress)
        self._spoil(data, int(len(data.sightings) * (1 - HELD_OUT)))
        return data

    def tell(self, records: Sequence[RolloutRecord]) -> None:
        self._source.tell(records)


def as_it_is(data: StreamData, split: int) -> None:
    """Nothing is done to it."""


def shuffled_pairs(data: StreamData, split: int) -> None:
    """Everybody gets somebody else's partner, at held-out times too."""
    others = np.random.default_rng(1).permutation([p.second for p in data.pairs]).tolist()
    data.pairs[:] = [
        PseudoPair(min(p.first, other), max(p.first, other), p.posterior)
        for p, other in zip(data.pairs, others, strict=True)
        if p.first != other
    ]


def wrong_crops(data: StreamData, split: int) -> None:
    """The crops before the held-out times are other sightings'."""
    order = [*np.random.default_rng(2).permutation(split).tolist()]
    order += range(split, len(data.crops))
    data.crops = EncodedCrops([data.crops.pictures[row] for row in order])


def retrained(
    site: Site,
    weak: Path,
    folder: Path,
    spoil: Spoil,
    learning_rate: float,
    iterations: int,
) -> Outcome:
    log, config = site
    peers = Peers.alone()
    training = TrainingSettings(
        iterations=iterations,
        n_pairs=6,
        learning_rate=learning_rate,
        precision=peers.precision_of("auto", imagenet_format(48, 24)),
    )
    settings = JobSettings(training, held_out=HELD_OUT, min_pairs=50, eight_bit=False)
    source = Spoiled(LogSource(log, config.topics), spoil)
    job = Job(source, OnnxExtractor(weak, eight_bit=False), Releases(folder), peers)
    return job.run(settings, threading.Event())


@pytest.mark.parametrize(
    ("spoil", "learning_rate", "iterations", "passes"),
    [
        (as_it_is, 3e-4, 60, True),
        (shuffled_pairs, 3e-4, 10, False),
        (wrong_crops, 3e-4, 10, False),
        (as_it_is, 0.1, 6, False),
    ],
    ids=["right", "shuffled pairs", "wrong crops", "broken learning rate"],
)
def test_a_training_passes_only_on_what_the_stream_said(
    site: Site,
    weak: Path,
    tmp_path: Path,
    spoil: Spoil,
    learning_rate: float,
    iterations: int,
    passes: bool,
) -> None:
    log, config = site
    outcome = retrained(site, weak, tmp_path, spoil, learning_rate, iterations)
    assert outcome.release is not None
    assert outcome.result is not None
    assert outcome.result.passed == passes, outcome.result
    state = RolloutState()
    state.read(log, config.topics.releases)
    assert outcome.promoted == passes
    assert (outcome.release.version in {p.version for p in state.promotions.values()}) == passes
