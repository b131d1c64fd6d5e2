"""On a real broker: the running daemon and our topics forget; the cameras' topic says when."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.partitioner.default import murmur2

from stgal_stream.cli import cli
from stgal_stream.daemon import open_log
from stgal_stream.errors import DataError
from stgal_stream.log import kafka_erasure
from stgal_stream.log.kafka import KafkaLog
from stgal_stream.log.kafka_client import admin_client
from stgal_stream.log.kafka_keys import given_key, is_own_key, own_key
from stgal_stream.log.port import NewRecord, TopicSpec
from stgal_stream.log.reading import records, values
from stgal_stream.privacy.person import IdentityHistory, Person, find_person
from stgal_stream.privacy.topic_scrubbing import scrub_topics
from stgal_stream.settings import Config
from tests.support.identity_events import told_of_a_person
from tests.support.places import TOPICS
from tests.support.rollout import Running
from tests.support.snapshots import packed
from tests.support.streams import embedded_upstream, publish, schema
from tests.support.waiting import wait_for
from tests.support.walk import simulated_walk

pytestmark = pytest.mark.kafka
SITE = "upstream"


@pytest.fixture
def log(broker: str, config: Config) -> Iterator[KafkaLog]:
    config.kafka.instance = uuid.uuid4().hex
    made = open_log(config, brokers=[broker])
    assert isinstance(made, KafkaLog)
    yield made
    made.close()


def erase(broker: str, config: Config, tmp_path: Path, identity: str) -> Result:
    settings = {f"STGAL_TOPICS_{n.upper()}": getattr(config.topics, n) for n in TOPICS}
    settings |= {
        "STGAL_KAFKA_GROUP_PREFIX": config.kafka.group_prefix,
        "STGAL_DAEMON_STATE_DIR": str(tmp_path / "elsewhere"),
    }
    return CliRunner().invoke(cli, ["erase", identity, "--brokers", broker, "--yes"], env=settings)


def raw(log: KafkaLog, config: Config) -> dict[tuple[str, int], tuple[bytes | None, bytes]]:
    """Keys and values of all that we write, by topic and offset."""
    return {
        (topic, record.offset): (record.key, record.value)
        for topic in config.topics.erasable
        for record in records(log, topic, 0)
    }


def whose(log: KafkaLog, config: Config, person: Person) -> dict[tuple[str, str], str]:
    """Whose each detection is, of all but one person."""
    history = IdentityHistory.of(log, config.topics.identities)
    return {at: name for at, name in history.detections.items() if at[1] not in person.detections}


def topic_settings(broker: str, topic: str) -> dict[str, Any]:
    """What a topic has of its own."""
    admin = admin_client({"bootstrap_servers": [broker]})
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    found: dict[str, Any] = admin.describe_configs([resource])["topic"][topic]
    admin.close()
    return {name: told["value"] for name, told in found.items()}


def test_the_daemon_and_our_topics_forget(
    broker: str, log: KafkaLog, config: Config, tmp_path: Path
) -> None:
    config.input.max_future_s = float("inf")
    publish(log, config, [embedded_upstream(d) for d in simulated_walk(3, n_people=30)])
    daemon = Running(log, config, "all", forever=True)
    topics = config.topics
    wait_for(lambda: sum(1 for _ in values(log, topics.identities)) > 60, "identities")
    found = [json.loads(value) for value in values(log, topics.identities)]
    joined = next(event for event in found if event["type"] == "joined")
    person = find_person(log, topics, SITE, joined["globalId"])
    before, settings = raw(log, config), topic_settings(broker, topics.identities)
    others = whose(log, config, person)
    done = erase(broker, config, tmp_path, person.identities[0])
    assert done.exit_code == 0, done.output
    assert "The daemon has forgotten this person" in done.output
    assert "still holds them" not in done.output
    assert f"What cameras sent ({topics.detections}) is theirs" in done.output
    # Also if it were killed now.
    kept = [path for path in Path(config.daemon.state_dir).iterdir() if path.is_file()]
    assert kept
    for path in kept:
        content = path.read_bytes()
        assert not [name for name in person.names if packed(name) in content]
    daemon.stop()
    now = raw(log, config)
    names = [name.encode() for name in person.names]
    assert sum(any(name in value for name in names) for _, value in before.values()) > 20
    assert not [at for at, (_, value) in now.items() if any(name in value for name in names)]
    # What does not name them lies where it lay, and everybody else is who they were.
    for at, told in before.items():
        if not any(name in told[1] for name in names):
            assert now[at] == told
    assert whose(log, config, person) == others
    for value in values(log, topics.identities):
        schema("identity.v1").validate(json.loads(value))
    assert topic_settings(broker, topics.identities) == settings
    with pytest.raises(DataError, match="nobody in the log"):
        find_person(log, topics, SITE, person.identities[0])
    (noted,) = [json.loads(value) for value in values(log, topics.erasures)]
    schema("erasure.v1").validate(noted)
    assert noted["tracker"]
    assert noted["records"][topics.embeddings] > len(person.detections)
    assert noted["gone"] > noted["timestamp"]
    # A daemon that begins anew reads over what is gone.
    again = Running(log, config, "associate", forever=True)
    again.stop()


def write(log: KafkaLog, config: Config) -> Person:
    """Events of a person and of others, in one topic."""
    log.ensure_topics([TopicSpec(name) for name in config.topics.erasable])
    topic = config.topics.identities
    log.append([NewRecord(topic, SITE.encode(), body) for body in told_of_a_person(SITE)])
    return find_person(log, config.topics, SITE, "a" * 16)


def test_what_others_events_say_of_others_is_said_again(log: KafkaLog, config: Config) -> None:
    person = write(log, config)
    others = whose(log, config, person)
    assert len(others) == 10
    done = scrub_topics(log, config, person)
    assert not done.left
    assert not [v for v in values(log, config.topics.identities) if b"person" in v or b"aaaa" in v]
    assert whose(log, config, person) == others
    for value in values(log, config.topics.identities):
        schema("identity.v1").validate(json.loads(value))


def test_an_older_versions_records_are_left_to_time(
    broker: str, log: KafkaLog, config: Config
) -> None:
    person = write(log, config)
    older = KafkaLog([broker])
    topic = config.topics.identities
    older.append([NewRecord(topic, SITE.encode(), b"{}")])
    older.close()
    before = raw(log, config)
    done = scrub_topics(log, config, person)
    assert done.left == {topic: "1 records were written by an older version"}
    assert raw(log, config) == before
    assert topic_settings(broker, topic)["cleanup.policy"] == "delete"


def test_what_an_erasure_that_was_killed_left_behind_is_put_right(
    broker: str, log: KafkaLog, config: Config
) -> None:
    person = write(log, config)
    topic = config.topics.identities
    before = topic_settings(broker, topic)
    admin = admin_client({"bootstrap_servers": [broker]})
    changed = {name: ("SET", value) for name, value in kafka_erasure.COMPACTING.items()}
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, changed)])
    admin.close()
    assert topic_settings(broker, topic)["cleanup.policy"] == "compact,delete"
    scrub_topics(log, config, person)
    assert topic_settings(broker, topic) == before


def test_a_record_lies_where_its_given_key_says(log: KafkaLog, config: Config) -> None:
    topic = config.topics.embeddings
    log.ensure_topics([TopicSpec(topic, n_partitions=7)])
    sites = [f"site {n}".encode() for n in range(20)]
    log.append([NewRecord(topic, site, b"1") for site in sites])
    log.append([NewRecord(topic, None, b"marker", partition=3)])
    found = [record for n in range(7) for record in records(log, topic, n)]
    keys = [record.key for record in found]
    assert len(set(keys)) == 21
    assert all(is_own_key(key) for key in keys)
    for record in found:
        assert record.key is not None
        site = given_key(record.key)
        expected = (murmur2(site) & 0x7FFFFFFF) % 7 if site else 3
        assert record.partition.number == expected


@given(st.none() | st.binary(max_size=40))
def test_an_own_key_begins_with_the_given_one(key: bytes | None) -> None:
    made = own_key(key)
    assert is_own_key(made)
    assert given_key(made) == given_key(key or b"")
    assert own_key(made) != made
    assert given_key(own_key(made)) == given_key(made)


def test_a_rename_of_meanwhile_is_not_overruled(
    log: KafkaLog, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the topic is searched the daemon renames somebody who is to be said again."""
    person = write(log, config)
    topic = config.topics.identities
    event = json.loads(told_of_a_person(SITE)[0])
    del event["tracklet"]
    event |= {"type": "renamed", "from": "b" * 16, "to": "9" * 16, "globalId": "9" * 16}
    late = json.dumps(event | {"scope": "identity", "eventId": "f" * 32}).encode()
    append = KafkaLog.append

    def overtaken(self: KafkaLog, records_: Sequence[NewRecord]) -> None:
        if any(record.topic == topic for record in records_):
            monkeypatch.setattr(KafkaLog, "append", append)
            append(self, [NewRecord(topic, SITE.encode(), late)])
        append(self, records_)

    monkeypatch.setattr(KafkaLog, "append", overtaken)
    scrub_topics(log, config, person)
    now = whose(log, config, person)
    assert now[SITE, "named-them"] == "9" * 16
    for value in values(log, topic):
        schema("identity.v1").validate(json.loads(value))
