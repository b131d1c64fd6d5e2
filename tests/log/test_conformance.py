"""What every log must do: one suite, run on the embedded log and on a real Kafka broker."""

from __future__ import annotations

import time
import uuid

import pytest

from stgal_stream.errors import LogError
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.port import Log, NewRecord, Partition, Record, Subscription, TopicSpec
from tests.support.waiting import HANG_S


@pytest.fixture
def topics(log: Log) -> tuple[str, str]:
    name = uuid.uuid4().hex
    log.ensure_topics([TopicSpec(f"in-{name}", 1, 3600.0), TopicSpec(f"out-{name}", 1, 3600.0)])
    return f"in-{name}", f"out-{name}"


def poll(subscription: Subscription, n: int, timeout_s: float = HANG_S) -> list[Record]:
    """At least n records, or what came in time."""
    found: list[Record] = []
    deadline = time.monotonic() + timeout_s
    while len(found) < n and time.monotonic() < deadline:
        found += subscription.poll(n - len(found), 0.2)
    return found


def test_records_come_back_in_order_with_all_they_had(log: Log, topics: tuple[str, str]) -> None:
    source, _ = topics
    began_s = time.time()
    sent = [NewRecord(source, b"k", bytes([i]) * 10, (("h", b"x"),)) for i in range(50)]
    log.append(sent)
    found = log.read(source, 0, 0, 100)
    assert [r.value for r in found] == [r.value for r in sent]
    assert [r.offset for r in found] == list(range(50))
    assert found[0].key == b"k"
    assert found[0].headers == (("h", b"x"),)
    assert began_s - 5 < found[0].append_time_s < time.time() + 5
    assert [r.value for r in log.read(source, 0, 48, 100)] == [r.value for r in sent[48:]]
    assert log.read(source, 0, 50, 10) == []


def test_commit_writes_records_and_offsets_together(log: Log, topics: tuple[str, str]) -> None:
    source, target = topics
    group = uuid.uuid4().hex
    log.append([NewRecord(source, None, bytes([i])) for i in range(10)])
    subscription = log.subscribe(group, [source])
    found = poll(subscription, 10)
    at = Partition(source, 0)
    assert subscription.committed(at) is None
    assert log.committed(group, source) == {}
    subscription.commit([NewRecord(target, b"k", b"a")], {at: found[3].offset + 1})
    assert subscription.committed(at) == 4
    assert log.committed(group, source) == {0: 4}
    assert log.committed(group, target) == {}
    subscription.close()
    assert [r.value for r in log.read(target, 0, 0, 10)] == [b"a"]

    again = log.subscribe(group, [source])
    assert [r.value for r in poll(again, 6)] == [bytes([i]) for i in range(4, 10)]
    again.close()


def test_a_failed_commit_leaves_nothing(log: Log, topics: tuple[str, str]) -> None:
    source, target = topics
    log.append([NewRecord(source, None, b"1")])
    subscription = log.subscribe(uuid.uuid4().hex, [source])
    poll(subscription, 1)
    too_large = NewRecord(target, None, b"x" * 20_000_000)
    nowhere = NewRecord("no topic has this name", None, b"x")
    bad = nowhere if isinstance(log, EmbeddedLog) else too_large
    with pytest.raises(LogError):
        subscription.commit([NewRecord(target, None, b"a"), bad], {Partition(source, 0): 1})
    subscription.close()
    assert log.read(target, 0, 0, 10) == []


def test_seek_reads_again(log: Log, topics: tuple[str, str]) -> None:
    source, _ = topics
    log.append([NewRecord(source, None, bytes([i])) for i in range(5)])
    subscription = log.subscribe(uuid.uuid4().hex, [source])
    poll(subscription, 5)
    subscription.seek(Partition(source, 0), 2)
    assert [r.offset for r in poll(subscription, 3)] == [2, 3, 4]
    assert subscription.position(Partition(source, 0)) == 5
    subscription.close()


def test_the_end_is_reached_past_transactions(log: Log, topics: tuple[str, str]) -> None:
    source, target = topics
    log.append([NewRecord(source, None, b"1")])
    writer = log.subscribe(uuid.uuid4().hex, [source])
    poll(writer, 1)
    writer.commit([NewRecord(target, None, b"a")], {Partition(source, 0): 1})
    reader = log.subscribe(uuid.uuid4().hex, [target])
    at = Partition(target, 0)
    assert [r.value for r in poll(reader, 1)] == [b"a"]
    deadline = time.monotonic() + HANG_S
    while reader.position(at) < reader.end(at) and time.monotonic() < deadline:
        assert reader.poll(10, 0.2) == []
    assert reader.position(at) >= reader.end(at)
    assert reader.beginning(at) == 0
    assert set(reader.assignment()) == {at}
    assert reader.lags() == {at: 0}
    writer.close()
    reader.close()


def test_ends_of_many_are_asked_at_once(log: Log, topics: tuple[str, str]) -> None:
    some = [Partition(topic, 0) for topic in topics]
    log.append([NewRecord(topics[0], b"k", b"1"), NewRecord(topics[0], b"k", b"2")])
    assert log.ends(some) == {at: log.end(at.topic, at.number) for at in some}
    assert len(set(log.ends(some).values())) == 2
    assert log.ends([]) == {}


def test_topics_are_made_once_and_differences_told(log: Log) -> None:
    spec = TopicSpec(uuid.uuid4().hex, 1, 60.0)
    assert log.partitions(spec.name) == 0
    assert log.ensure_topics([spec]) == []
    assert log.partitions(spec.name) == 1
    assert log.ensure_topics([spec]) == []


def test_a_second_member_is_kept_apart(log: Log, topics: tuple[str, str]) -> None:
    """The embedded log refuses it; Kafka gives each its share (here: one has the partition)."""
    source, _ = topics
    group = uuid.uuid4().hex
    first = log.subscribe(group, [source])
    if isinstance(log, EmbeddedLog):
        with pytest.raises(LogError, match="held by process"):
            log.subscribe(group, [source])
    first.close()
    log.subscribe(group, [source]).close()


def test_the_log_knows_itself(log: Log) -> None:
    assert log.identity
