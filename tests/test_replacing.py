"""A file is replaced as a whole, or is as it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stgal_stream.errors import DataError
from stgal_stream.replacing import replacing


def write(path: Path, text: str, fault: Exception | None = None) -> None:
    with replacing(path) as made, made.open("w") as out:
        out.write(text)
        if fault is not None:
            raise fault


def test_the_new_file_takes_the_place_of_the_old(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("old")
    path.chmod(0o600)
    with replacing(path) as made:
        made.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["out"]


def test_a_fault_leaves_everything_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("old")

    with pytest.raises(KeyError):
        write(path, "half", KeyError("a fault of the program"))
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["out"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("file")
    with replacing(tmp_path / "link") as made:
        made.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "new"


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="/dev/full cannot be written: No space left"):
        write(Path("/dev/full"), "x" * 100_000)
    with pytest.raises(DataError, match="No such file"):
        write(tmp_path / "absent" / "out", "x")


def test_a_pipe_is_written_to_directly(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    write(Path(f"/dev/fd/{writer}"), "through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    os.close(writer)
