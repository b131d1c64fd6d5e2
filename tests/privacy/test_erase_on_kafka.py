"""On a real broker: the running daemon forgets at once, topics say when they will have."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from stgal_stream.cli import cli
from stgal_stream.log.kafka import KafkaLog
from stgal_stream.log.reading import values
from stgal_stream.privacy.person import find_person
from stgal_stream.settings import Config
from tests.support.places import TOPICS
from tests.support.rollout import Running
from tests.support.snapshots import packed
from tests.support.streams import embedded_upstream, publish, schema
from tests.support.waiting import wait_for
from tests.support.walk import simulated_walk

pytestmark = pytest.mark.kafka


@pytest.fixture
def log(broker: str) -> Iterator[KafkaLog]:
    made = KafkaLog([broker], instance=uuid.uuid4().hex)
    yield made
    made.close()


def test_the_daemon_forgets_and_the_topics_say_when(
    broker: str, log: KafkaLog, config: Config, tmp_path: Path
) -> None:
    config.input.max_future_s = float("inf")
    publish(log, config, [embedded_upstream(d) for d in simulated_walk(3, n_people=30)])
    daemon = Running(log, config, "all", forever=True)
    topics = config.topics
    wait_for(lambda: sum(1 for _ in values(log, topics.identities)) > 60, "identities")
    found = [json.loads(value) for value in values(log, topics.identities)]
    joined = next(event for event in found if event["type"] == "joined")
    person = find_person(log, topics, "upstream", joined["globalId"])
    settings = {f"STGAL_TOPICS_{n.upper()}": getattr(topics, n) for n in TOPICS}
    settings |= {
        "STGAL_KAFKA_GROUP_PREFIX": config.kafka.group_prefix,
        "STGAL_DAEMON_STATE_DIR": str(tmp_path / "elsewhere"),
    }
    done = CliRunner().invoke(
        cli, ["erase", person.identities[0], "--brokers", broker, "--yes"], env=settings
    )
    assert done.exit_code == 0, done.output
    assert "The daemons have forgotten this person" in done.output
    assert "Kafka deletes by time alone" in done.output
    daemon.stop()
    said = [json.loads(value) for value in values(log, topics.identities)]
    for event in said:
        schema("identity.v1").validate(event)
    erased = [event["globalId"] for event in said if event["type"] == "erased"]
    assert erased == list(person.identities)
    (noted,) = [json.loads(value) for value in values(log, topics.erasures)]
    schema("erasure.v1").validate(noted)
    assert noted["tracker"]
    assert noted["gone"] > noted["timestamp"]
    for path in Path(config.daemon.state_dir).glob("*.snapshot"):
        content = path.read_bytes()
        assert not [name for name in person.names if packed(name) in content]
