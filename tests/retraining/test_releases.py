"""Releases: whole or not at all, checked by hash, promoted and rolled back by a line each."""

from __future__ import annotations

from pathlib import Path

import pytest

from stgal_stream.errors import DataError, ModelError
from stgal_stream.extractor.in_use import load_in_use
from stgal_stream.extractor.onnx import SHIPPED
from stgal_stream.extractor.releases import MODEL, Release, Releases, sha256_of

CPU = ("CPUExecutionProvider",)


def release(folder: Path, version: str, model: Path = SHIPPED) -> Releases:
    releases = Releases(folder)
    about = Release(version, sha256_of(model), "parent", f"2026-01-01T00:00:0{len(releases.all())}")
    releases.add(about, model)
    return releases


def test_promote_and_rollback(tmp_path: Path) -> None:
    release(tmp_path, "one")
    releases = release(tmp_path, "two")
    assert [r.version for r in releases.all()] == ["one", "two"]
    assert releases.promoted() is None
    releases.promote("one")
    releases.promote("two")
    assert releases.promoted() == "two"
    assert releases.rollback() == "one"
    assert releases.rollback() is None
    assert releases.promoted() is None
    with pytest.raises(DataError, match="nothing to roll back"):
        releases.rollback()
    assert [entry.kind for entry in releases.history()] == ["promote"] * 2 + ["rollback"] * 2


def test_a_release_never_changes(tmp_path: Path) -> None:
    releases = release(tmp_path, "one")
    with pytest.raises(DataError, match="already"):
        release(tmp_path, "one")
    with pytest.raises(DataError, match="no release"):
        releases.promote("../one")


def test_a_changed_model_is_refused_and_the_configured_one_runs(tmp_path: Path) -> None:
    releases = release(tmp_path, "one")
    releases.promote("one")
    extractor, refused = load_in_use("", str(tmp_path), providers=CPU)
    assert (extractor.path.parent.name, refused) == ("one", None)
    with (tmp_path / "one" / MODEL).open("ab") as out:
        out.write(b"x")
    with pytest.raises(ModelError, match="hash"):
        releases.model("one")
    extractor, refused = load_in_use("", str(tmp_path), providers=CPU)
    assert extractor.path == SHIPPED
    assert refused is not None


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    releases = release(tmp_path / "releases", "broken", broken)
    releases.promote("broken")  # its hash is right
    extractor, refused = load_in_use("", str(releases.folder), providers=CPU)
    assert extractor.path == SHIPPED
    assert refused is not None
