"""Releases: whole or not at all, and checked by hash."""

from __future__ import annotations

from pathlib import Path

import pytest

from stgal_stream.errors import DataError, ModelError
from stgal_stream.extractor.onnx import SHIPPED
from stgal_stream.extractor.releases import MODEL, Release, Releases, sha256_of


def release(folder: Path, version: str, model: Path = SHIPPED) -> Releases:
    releases = Releases(folder)
    about = Release(version, sha256_of(model), "parent", f"2026-01-01T00:00:0{len(releases.all())}")
    releases.add(about, model)
    return releases


def test_a_release_is_found_and_named_as_embeddings_will_carry_it(tmp_path: Path) -> None:
    release(tmp_path, "one")
    releases = release(tmp_path, "two")
    assert [r.version for r in releases.all()] == ["one", "two"]
    promotion = releases.promotion("two")
    assert promotion.sha256 == sha256_of(SHIPPED)
    assert promotion.extractor == f"two@{promotion.sha256[:12]}"
    assert Path(promotion.folder) == tmp_path.resolve()


def test_a_release_never_changes(tmp_path: Path) -> None:
    releases = release(tmp_path, "one")
    with pytest.raises(DataError, match="already"):
        release(tmp_path, "one")
    with pytest.raises(DataError, match="no release"):
        releases.promotion("../one")


def test_a_changed_model_is_not_promoted(tmp_path: Path) -> None:
    releases = release(tmp_path, "one")
    with (tmp_path / "one" / MODEL).open("ab") as out:
        out.write(b"x")
    with pytest.raises(ModelError, match="hash"):
        releases.promotion("one")
