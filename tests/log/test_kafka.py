"""What is particular to Kafka: fencing, an unreachable broker, settings that the client refuses."""

from __future__ import annotations

import gc
import time
import uuid
import warnings
from collections.abc import Iterator

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.coordinator.base import BaseCoordinator
from kafka.coordinator.consumer import ConsumerCoordinator

from stgal_stream.errors import ConfigError, LogError
from stgal_stream.log.kafka import KafkaLog
from stgal_stream.log.port import NewRecord, Partition, Record, Subscription, TopicSpec
from tests.support.waiting import HANG_S, wait_for


@pytest.mark.kafka
@pytest.mark.fault
def test_the_past_self_of_a_member_is_fenced(broker: str) -> None:
    name = uuid.uuid4().hex
    logs = [KafkaLog([broker], instance="same") for _ in range(2)]
    logs[0].ensure_topics([TopicSpec(name, 1, 60.0)])
    logs[0].append([NewRecord(name, None, b"1")])
    first = logs[0].subscribe(name, [name])
    second = logs[1].subscribe(name, [name])
    with pytest.raises(LogError):
        first.commit([NewRecord(name, None, b"ghost")], {Partition(name, 0): 1})
    assert [r.value for r in logs[1].read(name, 0, 0, 10)] == [b"1"]
    for subscription in (first, second):
        subscription.close()
    for log in logs:
        log.close()


@pytest.mark.kafka
def test_differences_of_a_topic_are_told(broker: str) -> None:
    name = uuid.uuid4().hex
    log = KafkaLog([broker])
    log.ensure_topics([TopicSpec(name, 1, 60.0)])
    notes = log.ensure_topics([TopicSpec(name, 2, 120.0)])
    assert len(notes) == 2
    assert "partitions" in notes[0]
    assert "retention.ms" in notes[1]
    log.close()


@pytest.mark.kafka
@pytest.mark.fault
def test_a_partition_that_was_added_is_unknown_for_a_while_and_no_more(broker: str) -> None:
    """A client asks anew every five minutes; one that is new knows it."""
    name = uuid.uuid4().hex
    log = KafkaLog([broker])
    log.ensure_topics([TopicSpec(name, 1, 60.0)])
    log.append([NewRecord(name, None, b"1")])
    added = NewRecord(name, None, b"2", partition=1)
    subscription = log.subscribe(name, [name])
    subscription.commit([NewRecord(name, None, b"3")], {})
    admin = KafkaAdminClient(bootstrap_servers=[broker])
    admin.create_partitions({name: 2})
    admin.close()
    wait_for(lambda: log.partitions(name) == 2, "another partition")
    with pytest.raises(LogError, match="Unrecognized partition 1"):
        subscription.commit([added], {})
    with pytest.raises(LogError, match="Unrecognized partition 1"):
        log.append([added])
    subscription.close()
    subscription = log.subscribe(name, [name])
    subscription.commit([added], {})
    assert [r.value for r in log.read(name, 1, 0, 10)] == [b"2"]
    subscription.close()
    log.close()


@pytest.mark.kafka
def test_a_partition_given_back_has_another_epoch(broker: str) -> None:
    name = uuid.uuid4().hex
    logs = [KafkaLog([broker], instance=who) for who in ("one", "two")]
    logs[0].ensure_topics([TopicSpec(name, 2, 60.0)])
    logs[0].append([NewRecord(name, None, bytes([n]), partition=n) for n in range(2)])
    first = logs[0].subscribe(name, [name])
    alone = _assignment(first, 2)
    second = logs[1].subscribe(name, [name])
    deadline = time.monotonic() + HANG_S
    while len(first.assignment()) != 1 or not second.assignment():
        first.poll(10, 0.1)
        second.poll(10, 0.1)
        assert time.monotonic() < deadline
    shared = dict(first.assignment())
    assert set(shared) | set(second.assignment()) == set(alone)
    second.close()  # a static member's share comes back when its session has timed out
    again = _assignment(first, 2)
    for partition in set(again) - set(shared):
        assert again[partition] > alone[partition]
    assert set(again) - set(shared), "nothing came back"
    first.close()
    for log in logs:
        log.close()


@pytest.mark.kafka
def test_what_was_read_and_not_committed_is_read_again_of_a_partition_that_stays(
    broker: str,
) -> None:
    """The client keeps its position over a rebalance; who buffers would lose what lies between."""
    name = uuid.uuid4().hex
    logs = [KafkaLog([broker], instance=who) for who in ("one", "two")]
    logs[0].ensure_topics([TopicSpec(name, 2, 60.0)])
    logs[0].append([NewRecord(name, None, b"%d" % i, partition=i % 2) for i in range(8)])
    first = logs[0].subscribe(name, [name])
    assert len(_polled(first, 8)) == 8
    first.commit([], {Partition(name, n): 1 for n in range(2)})
    alone = dict(first.assignment())
    second = logs[1].subscribe(name, [name])
    found: set[tuple[Partition, int]] = set()
    expected = {(Partition(name, n), offset) for n in range(2) for offset in (1, 2, 3)}
    deadline = time.monotonic() + HANG_S
    # In the middle of a rebalance a member may hold nothing, or for a moment everything.
    while expected - found or not len(first.assignment()) == len(second.assignment()) == 1:
        found |= {(r.partition, r.offset) for r in first.poll(10, 0.1) + second.poll(10, 0.1)}
        assert time.monotonic() < deadline, (expected - found, first.assignment())
    (stays,) = first.assignment()
    assert first.assignment()[stays] > alone[stays]
    assert found == expected, "what was committed is read again"
    first.close()
    second.close()
    for log in logs:
        log.close()


def _polled(subscription: Subscription, n: int) -> list[Record]:
    found: list[Record] = []
    deadline = time.monotonic() + HANG_S
    while len(found) < n and time.monotonic() < deadline:
        found += subscription.poll(10, 0.2)
    return found


def _assignment(subscription: Subscription, n: int) -> dict[Partition, int]:
    deadline = time.monotonic() + HANG_S
    while len(subscription.assignment()) != n:
        subscription.poll(10, 0.1)
        assert time.monotonic() < deadline
    return dict(subscription.assignment())


class _NoUtf8(str):
    """A header's name as no producer in Python would write it, and one in another language can."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return b"\xff\xfe"


@pytest.mark.kafka
def test_a_header_that_is_no_utf8_is_stepped_over(broker: str) -> None:
    name = uuid.uuid4().hex
    log = KafkaLog([broker])
    log.ensure_topics([TopicSpec(name, 1, 60.0)])
    log.append([NewRecord(name, None, b"before")])
    log.append([NewRecord(name, None, b"hostile", ((_NoUtf8("name"), b"x"),))])
    log.append([NewRecord(name, None, b"after")])
    subscription = log.subscribe(name, [name])
    found = _polled(subscription, 3)
    assert [(r.offset, r.value, r.fault is None) for r in found] == [
        (0, b"before", True),
        (1, b"", False),
        (2, b"after", True),
    ]
    assert [r.value for r in log.read(name, 0, 0, 10)] == [b"before", b"after"]
    subscription.close()
    log.close()


@pytest.fixture
def leaky_client() -> Iterator[None]:
    """A client that fails to be made cannot be closed: kafka-python leaves its sockets to the
    collector, which says so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


@pytest.mark.usefixtures("leaky_client")
def test_no_broker_is_told_within_the_timeout() -> None:
    with pytest.raises(LogError, match="no Kafka broker answers") as caught:
        KafkaLog(["127.0.0.1:1"], connect_timeout_s=1.0)
    assert caught.value.hint


@pytest.mark.usefixtures("leaky_client")
def test_settings_that_the_client_refuses_are_the_operators() -> None:
    with pytest.raises(ConfigError, match="refuses"):
        KafkaLog(["127.0.0.1:1"], security={"no_such_setting": 1}, connect_timeout_s=1.0)


@pytest.mark.kafka
@pytest.mark.parametrize("codec", ["gzip", "lz4", "snappy", "zstd"])
def test_what_producers_compress_is_read(broker: str, codec: str) -> None:
    """A camera gateway chooses its codec; the broker keeps batches as they came."""
    name = uuid.uuid4().hex
    log = KafkaLog([broker])
    log.ensure_topics([TopicSpec(name, 1, 60.0)])
    sent = [b"%d " % n * 200 for n in range(50)]
    producer = KafkaProducer(bootstrap_servers=[broker], compression_type=codec, linger_ms=50)
    for value in sent:
        producer.send(name, value)
    producer.flush()
    producer.close()
    subscription = log.subscribe(name, [name])
    assert [r.value for r in _polled(subscription, len(sent))] == sent
    subscription.close()
    log.close()


@pytest.mark.kafka
def test_who_fell_out_of_the_group_unheard_joins_again(
    broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client once held itself for a member, with no partition, for ever."""
    monkeypatch.setattr("stgal_stream.log.kafka_subscription._JOIN_AGAIN_S", 0.5)
    name = uuid.uuid4().hex
    log = KafkaLog([broker])
    log.ensure_topics([TopicSpec(name, 1, 60.0)])
    log.append([NewRecord(name, b"k", b"v")])
    right = BaseCoordinator.reset_generation
    forgotten = True

    def reset(coordinator: BaseCoordinator, *arguments: str) -> None:
        nonlocal forgotten
        forgotten = False
        right(coordinator, *arguments)

    monkeypatch.setattr(BaseCoordinator, "reset_generation", reset)
    joins = ConsumerCoordinator.need_rejoin
    monkeypatch.setattr(ConsumerCoordinator, "need_rejoin", lambda c: not forgotten and joins(c))
    subscription = log.subscribe(name, [name])
    assert [r.value for r in _polled(subscription, 1)] == [b"v"]
    assert not forgotten
    subscription.close()
    log.close()


@pytest.mark.kafka
def test_who_has_nothing_to_do_disturbs_nobody_by_asking(
    broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More workers than partitions: one stands by, and takes over."""
    monkeypatch.setattr("stgal_stream.log.kafka_subscription._JOIN_AGAIN_S", 0.5)
    name = uuid.uuid4().hex
    logs = [KafkaLog([broker], instance=f"{name}-{k}") for k in range(2)]
    logs[0].ensure_topics([TopicSpec(name, 1, 60.0)])
    working = logs[0].subscribe(name, [name])
    wait_for(lambda: not working.poll(1, 0.1) and bool(working.assignment()))
    standing_by = logs[1].subscribe(name, [name])

    def both() -> None:
        working.poll(1, 0.1)
        standing_by.poll(1, 0.1)

    def is_settled() -> bool:
        before = working.assignment()
        for _ in range(20):
            both()
        return bool(before) and working.assignment() == before

    wait_for(is_settled)  # its first join rebalances the group
    before = working.assignment()
    for _ in range(40):
        both()
        assert not standing_by.assignment()
    assert working.assignment() == before
    working.close()
    wait_for(lambda: not standing_by.poll(1, 0.1) and bool(standing_by.assignment()))
    standing_by.close()
    for log in logs:
        log.close()
