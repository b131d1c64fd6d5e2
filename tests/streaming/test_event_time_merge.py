"""A backlog of several partitions comes out in order of event time."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stgal_stream.log.port import Partition, Record
from stgal_stream.streaming.event_time_merge import EventTimeMerge


class Backlog:
    """Partitions full of records; ``poll`` gives one partition after the other, as Kafka does."""

    def __init__(self, times: list[list[float]]) -> None:
        self.rows = {
            Partition("t", n): [
                Record(Partition("t", n), i, None, str(t).encode(), (), 0.0)
                for i, t in enumerate(part)
            ]
            for n, part in enumerate(times)
        }
        self.next = dict.fromkeys(self.rows, 0)
        self.epoch = 1

    def assignment(self) -> dict[Partition, int]:
        return dict.fromkeys(self.rows, self.epoch)

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        for partition, rows in self.rows.items():
            part = rows[self.next[partition] : self.next[partition] + max_records]
            if part:
                self.next[partition] += len(part)
                return part
        return []

    def seek(self, partition: Partition, offset: int) -> None:
        self.next[partition] = offset

    def lags(self) -> dict[Partition, int]:
        return {p: len(rows) - self.next[p] for p, rows in self.rows.items()}


def order_of(backlog: Backlog) -> EventTimeMerge[float]:
    return EventTimeMerge(backlog, lambda r: (float(r.value), float(r.value)))  # type: ignore[arg-type]


def drain(backlog: Backlog, most: int) -> list[float]:
    order = order_of(backlog)
    found: list[float] = []
    while True:
        taken = order.take(most, 0.0)
        if not taken and not any(backlog.lags().values()) and not order.n_buffered:
            return found
        found += taken


@given(
    st.lists(st.lists(st.floats(0, 1e6), max_size=40).map(sorted), min_size=1, max_size=5),
    st.integers(1, 16),
)
def test_sorted_partitions_merge_into_one_sorted_stream(
    times: list[list[float]], most: int
) -> None:
    assert drain(Backlog(times), most) == sorted(t for part in times for t in part)


def test_a_partition_that_was_taken_away_and_given_back_is_read_again() -> None:
    backlog = Backlog([list(np.arange(10.0)), list(np.arange(10.0) + 0.5)])
    order = order_of(backlog)
    assert order.take(4, 0.0) == [0.0, 0.5, 1.0, 1.5]
    assert order.n_buffered > 0  # read under the old epoch, and not committed
    for number in range(2):
        backlog.next[Partition("t", number)] = 2
    backlog.epoch += 1
    found: list[float] = []
    while taken := order.take(20, 0.0):
        found += taken
    assert found == list(np.arange(2.0, 10.0, 0.5))


def test_checking_the_assignment_hears_of_partitions_and_takes_nothing() -> None:
    backlog = Backlog([list(np.arange(10.0))])
    order = order_of(backlog)
    assert order.take(4, 0.0) == [0.0, 1.0, 2.0, 3.0]
    for _ in range(50):
        order.check_assignment()
    assert order.n_buffered == 0
    backlog.epoch += 1
    order.check_assignment()
    assert order.epoch(Partition("t", 0)) == 2
    assert order.take(20, 0.0) == [4.0, 5.0, 6.0, 7.0, 8.0, 9.0]


def test_memory_is_bounded_whatever_the_backlog() -> None:
    backlog = Backlog([list(np.arange(100.0)), list(np.arange(50.0, 150.0))])

    def read(record: Record) -> tuple[float, float]:
        return float(record.value), float(record.value)

    few = EventTimeMerge(backlog, read, max_buffered=10)  # type: ignore[arg-type]
    small = EventTimeMerge(Backlog([list(np.arange(100.0))] * 2), read, max_bytes=30)  # type: ignore[arg-type]
    for _ in range(20):
        few.take(2, 0.0)
        small.take(2, 0.0)
        assert few.n_buffered <= 12
        assert small.n_buffered <= 12


def test_a_record_of_the_future_holds_nothing_up() -> None:
    """Its partition is as far as the records behind it."""
    stray = [0.0, 59.0, *np.arange(1.0, 20.0)]
    even = list(np.arange(0.5, 20.0))
    found = drain(Backlog([stray, even]), 8)
    assert sorted(found) == sorted(stray + even)
    good = [t for t in found if t != 59.0]
    assert good == sorted(good)
