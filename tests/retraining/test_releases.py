"""Releases: whole or not at all, and checked by hash."""

from __future__ import annotations

from pathlib import Path

import pytest

from stgal_stream.errors import DataError, ModelError
from stgal_stream.extractor.onnx import SHIPPED
from stgal_stream.extractor.releases import MODEL, Release, Releases, sha256_of
from tests.support.tiny_model import with_weights_beside


def release(folder: Path, version: str, model: Path = SHIPPED) -> Releases:
    releases = Releases(folder)
    n = len(releases.all()[0])
    about = Release(version, sha256_of(model), "parent", f"2026-01-01T00:00:0{n}")
    releases.add(about, model)
    return releases


def test_a_release_is_found_and_named_as_embeddings_will_carry_it(tmp_path: Path) -> None:
    release(tmp_path, "one")
    releases = release(tmp_path, "two")
    assert [r.version for r in releases.all()[0]] == ["one", "two"]
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


@pytest.mark.parametrize("name", ["", ".", "..", "../one", "/", "a\0b", "x" * 300])
def test_what_is_no_name_is_no_release(name: str, tmp_path: Path) -> None:
    releases = release(tmp_path, "one")
    (tmp_path / "release.json").write_bytes((tmp_path / "one" / "release.json").read_bytes())
    with pytest.raises(DataError, match="no release"):
        releases.promotion(name)


def test_one_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    releases = release(tmp_path, "one")
    about = (tmp_path / "one" / "release.json").read_bytes()
    for name, content in (
        ("cut off", about[:20]),
        ("no text", about.replace(b"parent", b"\xff\xfe", 1)),
        ("renamed", about),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "release.json").write_bytes(content)
    (tmp_path / "a folder" / "release.json").mkdir(parents=True)
    (tmp_path / ".new-1").mkdir()
    (tmp_path / ".new-1" / "release.json").write_bytes(about)
    found, faults = releases.all()
    assert [r.version for r in found] == ["one"]
    assert len(faults) == 4


def test_a_model_of_several_files_is_no_release(tmp_path: Path) -> None:
    """A copy of its graph alone would lack the weights."""
    model = with_weights_beside(tmp_path / "m" / "m.onnx")
    with pytest.raises(DataError, match="weights in files beside it"):
        release(tmp_path / "releases", "one", model)
    assert not (tmp_path / "releases" / "one").exists()
