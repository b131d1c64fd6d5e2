"""What is particular to the embedded log: retention, compaction, locks, broken directories."""

from __future__ import annotations

import random
import sqlite3
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgal_stream.errors import LogError, PermanentLogError
from stgal_stream.log.embedded import UPKEEP_S, EmbeddedLog
from stgal_stream.log.embedded_rows import piece_bytes, table
from stgal_stream.log.port import NewRecord, Partition, TopicSpec


def test_retention_deletes_and_offsets_go_on(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path)
    log.ensure_topics([TopicSpec("t", 1, retention_s=60.0)])
    log.append([NewRecord("t", None, b"old")])
    log.forget(time.time() + 120)
    assert log.read("t", 0, 0, 10) == []
    log.append([NewRecord("t", None, b"new")])
    assert [(r.offset, r.value) for r in log.read("t", 0, 0, 10)] == [(1, b"new")]
    assert log.bounds("t") == (1, 2)
    log.close()


def test_compaction_keeps_the_last_of_every_key(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path)
    log.ensure_topics([TopicSpec("t", 1, None, compacted=True)])
    log.append([NewRecord("t", key, value) for key, value in [(b"a", b"1"), (b"b", b"2")]])
    log.append([NewRecord("t", b"a", b"3")])
    log.forget(time.time())
    assert [r.value for r in log.read("t", 0, 0, 10)] == [b"2", b"3"]
    log.close()


@pytest.mark.fault
def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("not a directory")
    with pytest.raises(LogError, match="cannot be used") as caught:
        EmbeddedLog(tmp_path / "log")
    assert caught.value.hint


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "log.sqlite3").write_bytes(b"garbage" * 1000)
    with pytest.raises(PermanentLogError, match="cannot be used"):
        EmbeddedLog(tmp_path)


def test_an_unknown_topic_is_told(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path)
    with pytest.raises(LogError, match="no topic"):
        log.append([NewRecord("nope", None, b"x")])
    with pytest.raises(LogError, match="no topic"):
        log.subscribe("g", ["nope"])
    log.close()


@pytest.mark.fault
def test_deleted_crops_are_not_left_in_the_file(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path)
    log.ensure_topics([TopicSpec("t", 1, retention_s=60.0)])
    log.append([NewRecord("t", None, b"personal" * 500) for _ in range(1200)])
    log.forget(time.time() + 120)
    assert log.bounds("t") == (1200, 1200)
    for path in tmp_path.glob("log.sqlite3*"):
        assert b"personalpersonal" not in path.read_bytes(), path.name
    log.close()


def test_an_idle_log_forgets_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stgal_stream.log.embedded.UPKEEP_S", 0.0)
    log = EmbeddedLog(tmp_path)
    log.ensure_topics([TopicSpec("t", 1, retention_s=0.2), TopicSpec("u", 1, 60.0)])
    log.append([NewRecord("t", None, b"x")])
    reader = log.subscribe("g", ["u"])
    reader.poll(1, 0.5)
    assert log.bounds("t") == (1, 1)
    reader.close()
    log.close()


def test_a_clock_that_is_set_back_does_not_stop_retention(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = EmbeddedLog(tmp_path)
    log.ensure_topics([TopicSpec("t", 1, retention_s=60.0)])
    log.upkeep()
    forgotten: list[float] = []
    monkeypatch.setattr(log, "forget", forgotten.append)
    off_s, count_s = time.time() - 3600.0, time.monotonic() + UPKEEP_S + 1
    monkeypatch.setattr(time, "time", lambda: off_s)
    monkeypatch.setattr(time, "monotonic", lambda: count_s)
    log.upkeep()
    log.upkeep()
    assert forgotten == [off_s]
    log.close()


def test_a_failing_upkeep_does_not_undo_a_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log = EmbeddedLog(tmp_path)
    log.ensure_topics([TopicSpec("t", 1, retention_s=60.0)])

    def fail(now_s: float) -> None:
        raise LogError("the disk is full")

    monkeypatch.setattr(log, "forget", fail)
    log.append([NewRecord("t", None, b"x")])
    assert [r.value for r in log.read("t", 0, 0, 10)] == [b"x"]
    assert "the disk is full" in caplog.text
    log.close()


def test_a_lag_counts_only_what_is_still_there(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path)
    log.ensure_topics([TopicSpec("t", 1, retention_s=60.0)])
    reader = log.subscribe("g", ["t"])
    log.append([NewRecord("t", None, b"x") for _ in range(5)])
    assert list(reader.lags().values()) == [5]
    log.forget(time.time() + 120)
    assert list(reader.lags().values()) == [0]
    reader.close()
    log.close()


def flipped(path: Path, needle: bytes, count: int, seed: int) -> int:
    """Flips bits within occurrences of ``needle`` in a file; how many."""
    content = bytearray(path.read_bytes())
    places, at = [], content.find(needle)
    while at >= 0:
        places.append(at)
        at = content.find(needle, at + 1)
    chance = random.Random(seed)
    for place in (chosen := chance.sample(places, min(count, len(places)))):
        content[place + chance.randrange(len(needle))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    return len(chosen)


@pytest.mark.fault
def test_flipped_bits_are_found_and_never_read_as_data(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "log")
    log.ensure_topics([TopicSpec("t", 1, 1e9)])
    values = [b"a record of somebody, number %03d" % n for n in range(200)]
    log.append([NewRecord("t", b"k", value, (("h", b"1"),)) for value in values])
    log.select("PRAGMA wal_checkpoint(TRUNCATE)", ())
    log.close()
    n = flipped(tmp_path / "log" / "log.sqlite3", b"a record of somebody", 40, seed=1)
    assert n == 40
    log = EmbeddedLog(tmp_path / "log")
    found = log.read("t", 0, 0, 1000)
    assert [record.offset for record in found] == list(range(200))
    damaged = [record for record in found if record.fault is not None]
    assert len(damaged) == 40
    assert all(record.value == b"" for record in damaged)
    assert all(r.value == values[r.offset] for r in found if r.fault is None)
    log.close()


OLDER = """
CREATE TABLE topics (
    name TEXT PRIMARY KEY, next_offset INTEGER NOT NULL, retention_s REAL,
    compacted INTEGER NOT NULL, first_offset INTEGER NOT NULL DEFAULT 0);
CREATE TABLE records (
    topic TEXT NOT NULL, offset INTEGER NOT NULL, append_time_s REAL NOT NULL,
    key BLOB, value BLOB NOT NULL, headers BLOB, {checksum} PRIMARY KEY (topic, offset));
CREATE TABLE offsets (
    member_group TEXT NOT NULL, topic TEXT NOT NULL, next INTEGER NOT NULL,
    PRIMARY KEY (member_group, topic));
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO about VALUES ('identity', 'an older log');
INSERT INTO topics VALUES ('t', 5, 1e9, 0, 2), ('u', 1, NULL, 1, 0);
INSERT INTO offsets VALUES ('g', 't', 3);
"""


@pytest.mark.parametrize("checksum", ["", "checksum INTEGER,"])
def test_a_log_of_an_older_version_goes_on(tmp_path: Path, checksum: str) -> None:
    values = [random.Random(n).randbytes(n) for n in (3, 700, 30_000)]
    older = sqlite3.connect(tmp_path / "log.sqlite3")
    older.executescript(OLDER.format(checksum=checksum))
    names = "topic, offset, append_time_s, key, value"
    for offset, value in enumerate(values, 2):
        row = ("t", offset, 1e9 + offset, b"k", value)
        older.execute(f"INSERT INTO records ({names}) VALUES (?, ?, ?, ?, ?)", row)
    older.execute(f"INSERT INTO records ({names}) VALUES ('u', 0, 1e9, NULL, x'00')")
    older.commit()
    older.close()
    for _ in range(2):  # it is converted once
        log = EmbeddedLog(tmp_path)
        assert log.identity == "an older log"
        assert log.bounds("t") == (2, 5)
        found = log.read("t", 0, 0, 9)
        assert [(r.offset, r.value, r.fault) for r in found] == [
            (offset, value, None) for offset, value in enumerate(values, 2)
        ]
        assert {(r.key, r.append_time_s) for r in found} == {(b"k", 1e9 + n) for n in (2, 3, 4)}
        assert [r.value for r in log.read("u", 0, 0, 9)] == [b"\0"]
        subscription = log.subscribe("g", ["t"])
        assert [r.offset for r in subscription.poll(9, 0.0)] == [3, 4]
        subscription.close()
        log.close()
    log = EmbeddedLog(tmp_path)
    log.append([NewRecord("t", None, b"new")])
    assert [(r.offset, r.value) for r in log.read("t", 0, 5, 9)] == [(5, b"new")]
    log.close()


@pytest.mark.parametrize("n_bytes", [300, 650, 1400, 2200, 3000, 5300, 8400, 15_000, 24_000])
def test_a_file_is_hardly_larger_than_its_records(tmp_path: Path, n_bytes: int) -> None:
    log = EmbeddedLog(tmp_path)
    log.ensure_topics([TopicSpec("t", 1, None)])
    rng = random.Random(1)
    n = 3_000_000 // n_bytes
    for start in range(0, n, 50):
        some = range(start, min(n, start + 50))
        log.append([NewRecord("t", b"site", rng.randbytes(n_bytes)) for _ in some])
    log.cut()
    assert (tmp_path / "log.sqlite3").stat().st_size < 1.2 * n * (n_bytes + 4)
    log.close()


@given(st.lists(st.integers(0, 40_000), min_size=1, max_size=6), st.sampled_from([4096, 8192]))
def test_a_value_comes_back_whole(lengths: list[int], page_bytes: int) -> None:
    for n_bytes in lengths:
        piece = piece_bytes(n_bytes, page_bytes)
        assert 1 <= piece <= page_bytes - 35
        assert (n_bytes + piece - 1) // piece < 1 << 16


@given(st.lists(st.integers(0, 20_000), min_size=1, max_size=8), st.integers(1, 8))
def test_records_of_all_lengths_are_read_as_written(lengths: list[int], most: int) -> None:
    values = [random.Random(n).randbytes(n) for n in lengths]
    with tempfile.TemporaryDirectory() as folder:
        log = EmbeddedLog(Path(folder))
        log.ensure_topics([TopicSpec("t", 1, None)])
        log.append([NewRecord("t", b"k", value, (("h", b"1"),)) for value in values])
        changed = dict(enumerate(v[::-1] + b"!" for v in values[::2]))
        log.replace("t", {2 * n: v for n, v in changed.items()})
        found, offset = [], 0
        while some := log.read("t", 0, offset, most):
            found += some
            offset = some[-1].offset + 1
        expected = [v if n % 2 else changed[n // 2] for n, v in enumerate(values)]
        assert [(r.value, r.fault) for r in found] == [(v, None) for v in expected]
        log.close()


def test_a_piece_that_is_missing_is_found(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path)
    log.ensure_topics([TopicSpec("t", 1, None)])
    log.append([NewRecord("t", b"k", bytes(20_000)) for _ in range(3)])
    with log.connection() as db:
        db.execute(f"DELETE FROM {table(db, 't')} WHERE id IN ({1}, {2 << 16})")
    damaged = [record.fault is not None for record in log.read("t", 0, 0, 9)]
    assert damaged == [True, False, True]
    log.close()


def test_records_that_are_taken_out_leave_a_hole_and_nothing_else(tmp_path: Path) -> None:
    """Personal data that must go before its time: readers go over the hole, the end is reached."""
    log = EmbeddedLog(tmp_path / "log")
    log.ensure_topics([TopicSpec("t", 1, None)])
    values = [b"first record of all", b"second", b"third", b"a fourth that is secret"]
    log.append([NewRecord("t", b"k", value) for value in values])
    log.replace("t", {0: None, 1: b"changed", 3: None})
    found = log.read("t", 0, 0, 10)
    assert [(r.offset, r.value, r.fault) for r in found] == [
        (1, b"changed", None),
        (2, b"third", None),
    ]
    assert log.bounds("t") == (1, 4)
    subscription = log.subscribe("g", ["t"])
    assert [r.offset for r in subscription.poll(10, 0.0)] == [1, 2]
    assert subscription.lags() == {Partition("t", 0): 0}
    log.append([NewRecord("t", b"k", b"next")])
    assert subscription.lags() == {Partition("t", 0): 2}
    assert [r.offset for r in subscription.poll(10, 0.0)] == [4]
    subscription.close()
    log.close()
    contents = b"".join(path.read_bytes() for path in (tmp_path / "log").iterdir())
    assert b"secret" not in contents
    assert b"first record" not in contents


def test_the_file_shrinks_after_a_burst(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path)
    log.ensure_topics([TopicSpec("t", 1, retention_s=60.0)])
    rng = random.Random(1)
    for _ in range(20):
        log.append([NewRecord("t", None, rng.randbytes(10_000)) for _ in range(100)])
    file = tmp_path / "log.sqlite3"
    log.cut()
    burst = file.stat().st_size
    log.append([NewRecord("t", None, rng.randbytes(10_000)) for _ in range(50)])
    with log.connection() as db:
        db.execute(f"UPDATE {table(db, 't')} SET append_time_s = 0 WHERE id < {2000 << 16}")
    log.forget(time.time())
    assert burst > 20_000_000
    assert file.stat().st_size < 1.2 * 50 * 10_000 + 10 * 8192  # a page for each table and index
    assert len(log.read("t", 0, 0, 100)) == 50
    log.close()
