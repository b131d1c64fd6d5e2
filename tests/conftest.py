"""Fixtures that several tests share."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from stgal_stream.configuration import load_config
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.port import Log
from stgal_stream.settings import Config
from stgal_stream.types import Detection
from tests.support.places import TOPICS
from tests.support.walk import simulated_walk

# No test decides by the clock.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that no core is left with one of them at the end."""
    items.sort(key=lambda item: [item.get_closest_marker(m) is None for m in ("training", "slow")])


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
    for name in TOPICS:
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
