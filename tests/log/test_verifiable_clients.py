"""Apache Kafka's own verifiable producer and consumer at the two ends of the daemon.

The producer sends increasing integers and says which were acknowledged; the consumer reads what is
committed and says each record. An integer is no detection, so the daemon must make of each exactly
one dead letter, which names its place, whatever kills it on the way.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from stgal_stream.log.kafka import KafkaLog
from stgal_stream.log.topics import topic_specs
from stgal_stream.settings import Config
from tests.support.process import Daemon
from tests.support.waiting import HANG_S, wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.fault]

JARS = Path(__file__).resolve().parents[2] / "build" / "kafka-jars"
N = 3000
N_KILLS = 4


def verifiable(what: str, *arguments: str) -> list[dict[str, Any]]:
    """What the tool says, an event a line."""
    command = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    command += ["-cp", f"{JARS}/*", f"org.apache.kafka.tools.{what}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG_S, check=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_what_apaches_producer_sends_apaches_consumer_reads_once(
    broker: str, config: Config, tmp_path: Path
) -> None:
    topics = config.topics
    config.embed.batch_size = 64
    log = KafkaLog([broker])
    log.ensure_topics(topic_specs(config))
    server = ("--bootstrap-server", broker)
    sent = verifiable(
        "VerifiableProducer", *server, "--topic", topics.detections, "--max-messages", str(N)
    )
    acked = [_place(event) for event in sent if event["name"] == "producer_send_success"]
    assert len(acked) == N
    daemon = Daemon(["--brokers", broker], config, tmp_path)
    for k in range(1, N_KILLS + 1):
        daemon.start()
        _wait_for_letters(log, topics.dead_letters, k * N // (N_KILLS + 2))
        assert daemon.is_running, "it was done before it could be killed"
        daemon.kill()
    daemon.start()
    daemon.finish()
    read = verifiable(
        "VerifiableConsumer",
        *(*server, "--topic", topics.dead_letters, "--group-id", f"{config.kafka.group_prefix}-v"),
        *("--max-messages", str(N), "--verbose", "--consumer.config", str(_committed(tmp_path))),
    )
    letters = [json.loads(e["value"]) for e in read if e["name"] == "record_data"]
    assert Counter(_place(letter["record"]) for letter in letters) == Counter(acked)
    assert {letter["reason"] for letter in letters} == {"not_json"}
    assert log.end(topics.dead_letters, 0) > N  # with the marks of transactions
    log.close()


def _wait_for_letters(log: KafkaLog, topic: str, n: int) -> None:
    wait_for(lambda: log.end(topic, 0) > n)


def _committed(folder: Path) -> Path:
    path = folder / "consumer.properties"
    path.write_text("isolation.level=read_committed\n")
    return path


def _place(record: dict[str, Any]) -> tuple[str, int, int]:
    """Where a record lies."""
    return record["topic"], record["partition"], record["offset"]
