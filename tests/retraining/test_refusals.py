"""The gate by whole trainings: what learned from the right pairs passes, what did not is refused.

Simulated people with rendered crops; the pairs are the truth's, so that only what is done to them
differs. The extractor to start from is the shipped one, half forgotten.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from stgal_stream.extractor.export import export, imagenet_format
from stgal_stream.extractor.from_onnx import network_of
from stgal_stream.extractor.onnx import SHIPPED, OnnxExtractor
from stgal_stream.extractor.releases import Releases
from stgal_stream.retraining.encoded_crops import EncodedCrops
from stgal_stream.retraining.job import Job, JobSettings
from stgal_stream.retraining.pseudo_pairs import PseudoPair, StreamData
from stgal_stream.retraining.sources import OnProgress, Until
from stgal_stream.retraining.stream_events import Sighting
from stgal_stream.retraining.training import TrainingSettings
from stgal_stream.simulation.site import SimulatedDetection, SimulatedSite, SiteLaw
from stgal_stream.wire.rollout import Promotion, RolloutRecord

HELD_OUT = 0.4


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> OnnxExtractor:
    path = tmp_path_factory.mktemp("baseline") / "half.onnx"
    network = network_of(SHIPPED)
    torch.manual_seed(5)
    with torch.no_grad():
        for name, weights in network.named_parameters():
            if "layer4" in name and weights.ndim == 4:
                weights.add_(0.8 * weights.std() * torch.randn_like(weights))
    export(network, path, imagenet_format(48, 24), version="half", unit_length=True)
    return OnnxExtractor(path, eight_bit=False)


@pytest.fixture(scope="module")
def seen() -> StreamData:
    """The tracks of a site in order of time, two crops of each, and pairs of one person's next."""
    tracks: dict[str, list[SimulatedDetection]] = defaultdict(list)
    for seen in SimulatedSite(41, SiteLaw(n_people=110, duration_s=1800.0)).detections():
        tracks[str(seen.track_id)].append(seen)
    ordered = sorted(tracks.values(), key=lambda track: track[0].time_s)
    sightings = [
        Sighting(t[0].id, "s", t[0].camera, t[0].time_s, t[-1].time_s, None) for t in ordered
    ]
    crops = EncodedCrops([[t[len(t) // 2].crop, t[0].crop][: len(t)] for t in ordered])
    of_person: dict[int, list[int]] = defaultdict(list)
    for row, track in enumerate(ordered):
        if track[0].person:
            of_person[track[0].person].append(row)
    pairs = [
        PseudoPair(one, other, 0.9)
        for rows in of_person.values()
        for one, other in pairwise(rows)
        if sightings[one].camera != sightings[other].camera
    ]
    return StreamData(sightings, crops, sorted(pairs, key=lambda p: (p.first, p.second)))


class Told:
    """A source of what is given, and what it was told."""

    identity = "given"

    def __init__(self, data: StreamData) -> None:
        self._data = data
        self.said: list[RolloutRecord] = []

    def until(self) -> Until:
        return {}

    def read(
        self, until: Until, extractor: OnnxExtractor, most: int, on_progress: OnProgress
    ) -> StreamData:
        return self._data

    def tell(self, records: Sequence[RolloutRecord]) -> None:
        self.said += records

    def knows(self, version: str) -> bool:
        return False


def shuffled_pairs(data: StreamData, split: int) -> StreamData:
    """Everybody before the held-out times is paired with somebody else."""
    rng = np.random.default_rng(1)
    before = [p for p in data.pairs if p.second < split]
    after = [p for p in data.pairs if p.second >= split]
    others = rng.permutation([p.second for p in before]).tolist()
    wrong = [
        PseudoPair(min(p.first, other), max(p.first, other), 0.9)
        for p, other in zip(before, others, strict=True)
        if p.first != other
    ]
    return StreamData(data.sightings, data.crops, [*wrong, *after])


def wrong_crops(data: StreamData, split: int) -> StreamData:
    """The crops before the held-out times are dealt out anew."""
    rows = [*np.random.default_rng(2).permutation(split).tolist(), *range(split, len(data.crops))]
    crops = EncodedCrops([data.crops.pictures(row) for row in rows])
    return StreamData(data.sightings, crops, data.pairs)


@pytest.mark.parametrize("what", ["right", "shuffled pairs", "wrong crops", "learning rate"])
def test_only_what_learned_from_the_right_pairs_passes(
    what: str, seen: StreamData, baseline: OnnxExtractor, tmp_path: Path
) -> None:
    split = int(len(seen.sightings) * (1 - HELD_OUT))
    data = {"shuffled pairs": shuffled_pairs, "wrong crops": wrong_crops}.get(
        what, lambda data, split: data
    )(seen, split)
    rate = 0.1 if what == "learning rate" else 3e-4
    training = TrainingSettings(learning_rate=rate, iterations=40, n_pairs=8)
    source = Told(data)
    job = Job(source, baseline, Releases(tmp_path / "releases"))
    outcome = job.run(JobSettings(training, held_out=HELD_OUT, eight_bit=False), threading.Event())
    assert outcome.verdict is not None
    assert outcome.verdict.baseline.n_buddies >= 50
    assert outcome.promoted == outcome.verdict.passed == (what == "right"), outcome.verdict
    assert [r for r in source.said if isinstance(r, Promotion)] == (
        source.said[1:] if what == "right" else []
    )
