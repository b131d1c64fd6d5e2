"""Snapshots: atomic, checked, and never trusted blindly."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from stgal_stream.core.tracker.site_tracker import SiteTracker
from stgal_stream.core.tracker.snapshot import snapshot
from stgal_stream.errors import SnapshotError
from stgal_stream.log.port import Partition
from stgal_stream.settings import TrackerSettings
from stgal_stream.streaming.extractor_rollout.marker import MarkerState
from stgal_stream.streaming.snapshots import Snapshot, SnapshotStore, encode, read_sites

AT = Partition("embeddings", 0)


def at_offset(offset: int) -> Snapshot:
    """A snapshot that tells by its site's time where it was taken."""
    tracker = SiteTracker("s", TrackerSettings())
    tracker.tick(float(offset))
    return Snapshot(offset, {"s": snapshot(tracker)}, MarkerState({0: "x"}, {}))


def where(found: Snapshot | None) -> float | None:
    return None if found is None else found.sites["s"].clock.time_s


def test_the_newest_good_one_is_taken(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path, "f")
    for offset in (10, 20):
        store.save(AT, at_offset(offset))
    found = store.load(AT, 100, 0)
    assert found is not None
    assert encode(found) == encode(at_offset(20))
    # 20 is ahead of what the group has committed: the one before is not.
    assert where(store.load(AT, 15, 0)) == 10
    # The log has forgotten what lies between 20 and 30.
    assert store.load(AT, 100, 30) is None


def resealed(body: bytes) -> bytes:
    """A file with a right digest, whatever it holds."""
    return _head() + hashlib.sha256(body).digest() + body


def _head() -> bytes:
    return b"stgal-snapshot-6\n"


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b[:-1],
        lambda b: b"",
        lambda b: b[:60] + b"?" + b[61:],
        lambda b: resealed(b"nonsense"),
        lambda b: resealed(msgspec.msgpack.encode({"fingerprint": "f", "snapshot": {"offset": 1}})),
        lambda b: resealed(b[len(_head()) + 32 :].replace(b"speaker", b"speakex")),
    ],
)
@pytest.mark.fault
def test_a_broken_one_is_left_aside(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    store = SnapshotStore(tmp_path, "f")
    for offset in (10, 20):
        store.save(AT, at_offset(offset))
    path = tmp_path / "embeddings-0.snapshot"
    path.write_bytes(damage(path.read_bytes()))
    assert where(store.load(AT, 100, 0)) == 10


def test_one_foreign_file_does_not_hide_all_sites(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    SnapshotStore(tmp_path, "f").save(AT, at_offset(10))
    (tmp_path / "foreign.snapshot").write_bytes(b"something else")
    assert set(read_sites(tmp_path)) == {"s"}
    assert "foreign.snapshot" in caplog.text


def test_one_of_other_settings_is_left_aside(tmp_path: Path) -> None:
    SnapshotStore(tmp_path, "f").save(AT, at_offset(10))
    assert SnapshotStore(tmp_path, "g").load(AT, 100, 0) is None


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SnapshotError, match="cannot be made"):
        SnapshotStore(tmp_path / "file" / "below", "f")
