"""Snapshots: atomic, checked, and never trusted blindly."""

from __future__ import annotations

from pathlib import Path

import pytest

from stgal_stream.errors import SnapshotError
from stgal_stream.log.port import Partition
from stgal_stream.stages.snapshots import Snapshot, SnapshotStore

AT = Partition("embeddings", 0)


def test_the_newest_good_one_is_taken(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path, "f")
    for offset in (10, 20):
        store.save(AT, Snapshot(offset, {"s": {"n": offset}}, {}))
    assert store.load(AT, 100, 0) == Snapshot(20, {"s": {"n": 20}}, {})
    # 20 is ahead of what the group has committed: the one before is not.
    assert store.load(AT, 15, 0) == Snapshot(10, {"s": {"n": 10}}, {})
    # The log has forgotten what lies between 20 and 30.
    assert store.load(AT, 100, 30) is None


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b"", lambda b: b[:60] + b"?" + b[61:]]
)
def test_a_broken_one_is_left_aside(tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    store = SnapshotStore(tmp_path, "f")
    for offset in (10, 20):
        store.save(AT, Snapshot(offset, {"s": {"n": offset}}, {}))
    path = tmp_path / "embeddings-0.snapshot"
    path.write_bytes(damage(path.read_bytes()))
    assert store.load(AT, 100, 0) == Snapshot(10, {"s": {"n": 10}}, {})


def test_one_of_other_settings_is_left_aside(tmp_path: Path) -> None:
    SnapshotStore(tmp_path, "f").save(AT, Snapshot(10, {}, {}))
    assert SnapshotStore(tmp_path, "g").load(AT, 100, 0) is None


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SnapshotError, match="cannot be made"):
        SnapshotStore(tmp_path / "file" / "below", "f")
