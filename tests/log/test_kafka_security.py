"""TLS, passwords, certificates and ACLs against a real broker: what the page says is enough works,
and what is wrong is said with its cause, at once, and without a secret."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stgal_stream.errors import ConfigError, LogError, PermanentLogError
from stgal_stream.log.kafka import KafkaLog
from stgal_stream.log.kafka_erasure import Doomed
from stgal_stream.log.port import NewRecord, Partition, TopicSpec
from stgal_stream.log.topics import topic_specs
from stgal_stream.settings import Config
from tests.support.places import TOPICS
from tests.support.process import stgal
from tests.support.secured_kafka import PASSWORD, SecuredKafka
from tests.support.streams import embedded_upstream, publish, results, run_to_end
from tests.support.walk import simulated_walk

# A client that could not connect leaves its sockets to the garbage collector.
pytestmark = [pytest.mark.kafka, pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")]
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "kafka.md"
PREFIX = "granted."


@pytest.fixture(scope="module")
def secured(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """A broker of its own, where the user has the rights that the page lists on some topics."""
    found = SecuredKafka(tmp_path_factory.mktemp("secured"))
    found.grant(PAGE, {"topic": PREFIX, "group": "stgal-", "transactional id": "stgal-"})
    yield found
    found.stop()


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """What a test left is collected in it, not in the next."""
    yield
    gc.collect()


@pytest.mark.parametrize("way", ["scram", "mutual"])
def test_the_daemon_runs_with_the_rights_that_the_page_lists(
    secured: SecuredKafka, config: Config, way: str
) -> None:
    for name in TOPICS:
        setattr(config.topics, name, f"{PREFIX}{way}.-{name}")
    config.kafka.group_prefix = f"stgal-{way}"
    admin = KafkaLog([secured.address], security=secured.administrator)
    admin.ensure_topics(topic_specs(config))
    address = secured.address if way == "scram" else secured.mutual_address
    log = KafkaLog([address], security=getattr(secured, way), instance=way)
    assert log.ensure_topics(topic_specs(config)) == []
    publish(log, config, [embedded_upstream(d) for d in simulated_walk(1, n_people=8)])
    run_to_end(log, config)
    said = results(log, config)
    assert said["identities"]
    assert not said["dead_letters"]
    log.close()
    admin.close()


@pytest.mark.parametrize(
    ("wrong", "error", "told"),
    [
        (
            {"sasl_plain_password": "wrong"},
            PermanentLogError,
            "refuses the user's name or password",
        ),
        ({"sasl_plain_username": "nobody"}, PermanentLogError, "refuses the user's name"),
        ({"ssl_cafile": "other.pem"}, PermanentLogError, "certificate is not trusted"),
        ({"ssl_cafile": "gone.pem"}, ConfigError, "ssl_cafile cannot be read"),
        ({"security_protocol": "PLAINTEXT"}, LogError, "speaks TLS|closes each connection"),
        ({"sasl_mechanism": "PLAIN"}, LogError, "it closes each connection"),
    ],
    ids=["password", "name", "authority", "file", "no TLS", "mechanism"],
)
def test_what_is_wrong_is_said_with_its_cause(
    secured: SecuredKafka,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wrong: dict[str, Any],
    error: type[Exception],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.pem").write_text(secured.other_authority)
    with pytest.raises(error, match=told) as caught:
        KafkaLog(
            [secured.address], security=secured.scram | wrong, connect_timeout_s=_wait_s(error)
        )
    assert PASSWORD not in str(caught.value)


def _wait_s(error: type[Exception]) -> float:
    """As long as a broker may need to say why it refuses; one that only hangs up is not waited
    for."""
    return 2.0 if error is LogError else 20.0


def test_who_has_no_certificate_is_told_so(secured: SecuredKafka) -> None:
    bare = {k: v for k, v in secured.mutual.items() if k not in ("ssl_certfile", "ssl_keyfile")}
    with pytest.raises(PermanentLogError, match="wants a client's certificate") as caught:
        KafkaLog([secured.mutual_address], security=bare, connect_timeout_s=4.0)
    assert "ssl_certfile" in str(caught.value.hint)


def test_tls_where_the_broker_has_none_is_said(broker: str, secured: SecuredKafka) -> None:
    with pytest.raises(LogError, match=r"no Kafka broker answers|does not speak TLS"):
        KafkaLog([broker], security=secured.mutual, connect_timeout_s=2.0)


def test_a_right_that_is_missing_is_named(secured: SecuredKafka) -> None:
    log = KafkaLog([secured.address], security=secured.scram)
    subscription = log.subscribe("others-group", [f"{PREFIX}scram.-detections"])
    with pytest.raises(PermanentLogError, match="topic other: there is none, or") as caught:
        log.ensure_topics([TopicSpec("other")])
    assert "docs/how-to/kafka.md" in str(caught.value.hint)
    with pytest.raises(PermanentLogError, match=r"this user may not: .*other"):
        log.append([NewRecord("other", b"k", b"v")])
    with pytest.raises(PermanentLogError, match=r"this user may not: .*others-group"):
        subscription.poll(1, 5.0)
    subscription.close()
    with pytest.raises(PermanentLogError, match=r"this user may not: .*other"):
        log.read("other", 0, 0, 1)
    with pytest.raises(LogError, match=f"topic {PREFIX}new could not be made: ") as refused:
        log.ensure_topics([TopicSpec(f"{PREFIX}new")])
    assert "CreateTopicsRequest" not in str(refused.value)
    at = Partition(f"{PREFIX}scram.-embeddings", 0)
    with pytest.raises(PermanentLogError, match=f"the settings of {at.topic} were not changed"):
        log.take_out([Doomed(at, 0, b"key")], 1.0)
    log.close()


def test_no_command_prints_a_secret(secured: SecuredKafka, tmp_path: Path) -> None:
    level = {"STGAL_DAEMON_LOG_LEVEL": "debug"}
    environ = level | {"STGAL_KAFKA_SECURITY": json.dumps(secured.scram)}
    said = []
    for code, command in (
        (0, ("check-config",)),
        (3, ("run", "--brokers", secured.address, "--until-end")),
        (3, ("topics", "--brokers", secured.address, "--check")),
    ):
        done = stgal(*command, cwd=tmp_path, check=code, environ=environ)
        said.append(done.stdout + done.stderr)
    wrong = level | {
        "STGAL_KAFKA_SECURITY": json.dumps(secured.scram | {"sasl_plain_username": "nobody"})
    }
    done = stgal("run", "--brokers", secured.address, cwd=tmp_path, check=3, environ=wrong)
    assert "refuses the user's name or password" in done.stderr
    said.append(done.stdout + done.stderr)
    assert not [text for text in said if PASSWORD in text]
