"""Workers on a backlog go side by side: nobody runs ahead of what others still have to read, and
nobody waits for what nobody reads."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import pytest

from stgal_stream.log.port import Log, Partition, Record, Subscription
from stgal_stream.streaming.event_time_merge import EventTimeMerge
from stgal_stream.streaming.pace import Pace

TOPIC = "d"
Item = TypeVar("Item")


class Topic:
    """Partitions of a topic as lists of append times, and how far the group is in each; the first
    are this member's."""

    def __init__(self, times_s: Sequence[Sequence[float]], n_mine: int = 1) -> None:
        self.times_s = times_s
        self.n_mine = n_mine
        self.at = [0] * len(times_s)
        self.read_to = [0] * len(times_s)

    def partitions(self, topic: str) -> int:
        return len(self.times_s)

    def assignment(self) -> dict[Partition, int]:
        return {Partition(TOPIC, n): 0 for n in range(self.n_mine)}

    def committed(self, group: str, topic: str) -> dict[int, int]:
        return {n: at for n, at in enumerate(self.at) if at}

    def end(self, topic: str, partition: int) -> int:
        return len(self.times_s[partition])

    def read(self, topic: str, partition: int, offset: int, max_records: int) -> list[Record]:
        times_s = self.times_s[partition][offset : offset + max_records]
        at = Partition(TOPIC, partition)
        return [Record(at, offset + i, None, b"", (), t) for i, t in enumerate(times_s)]

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        found: list[Record] = []
        for n in range(self.n_mine):
            more = self.read(TOPIC, n, self.read_to[n], max_records)
            self.read_to[n] += len(more)
            found += more
        return found

    def lags(self) -> dict[Partition, int]:
        left = [len(times) - to for times, to in zip(self.times_s, self.read_to, strict=True)]
        return {Partition(TOPIC, n): left[n] for n in range(self.n_mine)}


def paced(topic: Topic) -> Pace:
    return Pace(cast("Log", topic), "g", TOPIC, cast("Subscription", topic), ahead_s=1.0)


def merged(
    topic: Topic, read: Callable[[Record], tuple[float, Item]], **options: int
) -> EventTimeMerge[Item]:
    return EventTimeMerge(cast("Subscription", topic), read, **options)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """This machine's, by hand."""
    now = [1000.0]
    monkeypatch.setattr("stgal_stream.streaming.pace.time.monotonic", lambda: now[0])
    return now


def test_nobody_is_more_than_a_second_ahead_of_the_slowest(clock: list[float]) -> None:
    topic = Topic([[float(i) for i in range(100)], [float(i) for i in range(100)]])
    pace = paced(topic)
    assert pace.until_s(0.0) == 1.0
    topic.at[1] = 40
    assert pace.until_s(1.0) == 1.0  # it may be taken already: nobody is asked
    assert pace.until_s(2.0) == 1.0  # it was asked just now
    clock[0] += 1.0
    assert pace.until_s(2.0) == 41.0


def test_the_last_record_of_another_is_waited_for_too(clock: list[float]) -> None:
    topic = Topic([[float(i) for i in range(100)], [0.0]])
    pace = paced(topic)
    assert pace.until_s(50.0) == 1.0
    assert not pace.others_are_done()
    topic.at[1] = 1
    clock[0] += 1.0
    assert pace.until_s(50.0) == math.inf
    assert pace.others_are_done()


def test_where_nobody_is_behind_little_is_asked(clock: list[float]) -> None:
    topic = Topic([[float(i) for i in range(100)], []])
    pace = paced(topic)
    assert pace.until_s(-math.inf) == -math.inf  # nothing waits: nobody is asked
    assert pace.until_s(10.0) == math.inf
    clock[0] += 1.0
    topic.times_s = [topic.times_s[0], [11.0] * 100]
    assert pace.until_s(11.0) == 11.0  # taken by now: nobody is asked
    assert pace.until_s(13.0) == 12.0


def test_who_has_all_partitions_waits_for_nobody_until_one_is_taken(clock: list[float]) -> None:
    topic = Topic([[float(i) for i in range(100)]] * 2, n_mine=2)
    pace = paced(topic)
    assert pace.until_s(50.0) == math.inf
    topic.n_mine = 1
    assert pace.until_s(60.0) == math.inf
    pace.look_again()
    assert pace.until_s(50.0) == 1.0


def test_who_does_not_move_is_given_up_once_and_counts_again_when_it_moves(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    topic = Topic([[float(i) for i in range(100)], [float(i) for i in range(100)]])
    pace = paced(topic)
    assert pace.until_s(50.0) == 1.0
    with caplog.at_level(logging.WARNING):
        for k in range(5):
            clock[0] += 31.0
            assert pace.until_s(50.0 + 10 * k) == math.inf
    assert len([r for r in caplog.records if "nobody has read it" in r.getMessage()]) == 1
    topic.at[1] = 7
    clock[0] += 1.0
    assert pace.until_s(99.0) == 8.0


def test_what_was_appended_later_waits_and_what_was_not_is_taken() -> None:
    """Though another partition's first record is earlier by its camera's clock."""
    topic = Topic([[10.0, 90.0], [20.0, 30.0]], n_mine=2)
    stamps = {(0, 0): 5.0, (0, 1): 6.0, (1, 0): 100.0, (1, 1): 101.0}

    def read(record: Record) -> tuple[float, tuple[int, int]]:
        name = (record.partition.number, record.offset)
        return stamps[name], name

    merge = merged(topic, read)
    assert merge.first_append_s == -math.inf
    assert merge.take(1, 0.0, 50.0) == [(0, 0)]
    assert merge.first_append_s == 20.0
    assert merge.take(9, 0.0, 50.0) == [(1, 0), (1, 1)]
    assert merge.take(9, 0.0, 50.0) == []
    assert merge.n_buffered == 1
    assert merge.take(9, 0.0, 90.0) == [(0, 1)]


def test_where_there_is_no_more_room_nothing_waits() -> None:
    topic = Topic([[10.0] + [90.0] * 20])
    merge = merged(topic, lambda record: (record.append_time_s, record.offset), max_buffered=8)
    found: list[int] = []
    for _ in range(40):
        found += merge.take(3, 0.0, 50.0)
    assert found == list(range(len(found)))
    assert len(found) >= 21 - 8
