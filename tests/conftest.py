"""Fixtures that several tests share."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from stgal_stream.config import Config, load_config
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.port import Log
from stgal_stream.simulation.embeddings import EmbeddingLaw, simulate_embeddings
from stgal_stream.types import Detection

TOPICS = ("detections", "embeddings", "identities", "associations", "dead_letters", "releases")
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def broker() -> str:
    """The address of a real Kafka broker; without one a laptop skips and CI fails."""
    address = os.environ.get("KAFKA_TEST_BROKER", "")
    if not address:
        message = "no Kafka broker: run `make test`, or set KAFKA_TEST_BROKER=$(tools/kafka-start)"
        if os.environ.get("KAFKA_TEST_REQUIRED") or os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return address


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Log]:
    """Each kind of log in turn."""
    if request.param == "embedded":
        found: Log = EmbeddedLog(tmp_path / "log")
    else:
        from stgal_stream.log.kafka import KafkaLog

        found = KafkaLog([request.getfixturevalue("broker")], instance=uuid.uuid4().hex)
    yield found
    found.close()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A configuration whose topics and groups are this test's alone."""
    made = load_config(None, {})
    prefix = uuid.uuid4().hex[:8]
    for name in (
        "detections",
        "embeddings",
        "identities",
        "associations",
        "dead_letters",
        "releases",
    ):
        setattr(made.topics, name, f"{prefix}-{name}")
    made.kafka.group_prefix = prefix
    made.kafka.partitions = 1
    made.daemon.state_dir = str(tmp_path / "state")
    made.daemon.http_port = 0
    return made


@pytest.fixture
def walk() -> Callable[..., list[Detection]]:
    """Simulated people walking past three cameras, as tracked or untracked detections."""
    return simulated_walk


def simulated_walk(
    seed: int = 0,
    n_people: int = 30,
    *,
    tracked: bool = True,
    dim: int = 24,
    duration_s: float = 900.0,
    law: EmbeddingLaw | None = None,
) -> list[Detection]:
    """Each person passes cameras 0, 1 and 2 in turn, 40 and 70 s apart, five detections each."""
    rng = np.random.default_rng(seed)
    people, cameras, times, tracks = [], [], [], []
    track = 0
    for person in range(1, n_people + 1):
        start_s = rng.uniform(0, duration_s)
        for camera, offset_s in ((0, 0.0), (1, 40.0), (2, 110.0)):
            track += 1
            begin_s = start_s + offset_s * rng.uniform(0.85, 1.15)
            for step in range(5):
                people.append(person)
                cameras.append(camera)
                times.append(begin_s + step + rng.uniform(0, 0.1))
                tracks.append(track)
    person_of = np.array(people)
    camera_of = np.array(cameras)
    time_s = np.array(times)
    law = law or EmbeddingLaw(dim=dim, visit=0.3, image=0.4, look_alikes=0.0)
    vectors = simulate_embeddings(person_of, camera_of, time_s, law, seed)
    order = np.argsort(time_s, kind="stable")
    return [
        Detection(
            id=f"p{person_of[i]}-{i}",
            camera=f"cam-{camera_of[i]}",
            time_s=float(time_s[i]) + 1e9,
            embedding=vectors[i],
            extractor="simulated",
            track_id=str(tracks[i]) if tracked else None,
        )
        for i in order
    ]
