"""Of every command: no file that is written is another option's file, and none is a surprise at the
end."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from stgal_stream.cli import cli
from stgal_stream.commands.paths import FileOrName, InputFile, OutputFile
from tests.support.process import stgal

FOLDERS = {"--root", "--embedded", "--out", "--releases", "--crops", "--state-dir"}


def commands(group: click.Group, *before: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, *before, name)
        else:
            yield " ".join((*before, name)), command


def options(command: click.Command) -> list[click.Parameter]:
    return [p for p in command.params if isinstance(p.type, InputFile | OutputFile)]


def pairs() -> Iterator[tuple[str, str, str]]:
    """Every command with two options of which at least one is written."""
    for name, command in commands(cli):
        for a, b in itertools.combinations(options(command), 2):
            if isinstance(a.type, OutputFile) or isinstance(b.type, OutputFile):
                yield name, a.opts[0], b.opts[0]


def refusal(name: str, *words: str) -> str:
    command = dict(commands(cli))[name]
    with pytest.raises(click.UsageError) as error:
        command.make_context(name, list(words))
    return error.value.format_message()


def test_every_file_of_every_command_is_one_of_these() -> None:
    """A new option cannot forget it."""
    assert len(set(pairs())) > 20
    for name, command in commands(cli):
        for param in command.params:
            is_plain = type(param.type) is click.Path
            if is_plain and param.opts[0] not in FOLDERS | {"--write-dataset", "path"}:
                pytest.fail(f"{name} {param.opts[0]} is a plain path")


@pytest.mark.parametrize(("name", "a", "b"), sorted(set(pairs())))
@pytest.mark.parametrize("how", ["same", "other spelling", "symlink", "hard link"])
def test_one_file_twice_is_refused(name: str, a: str, b: str, how: str, tmp_path: Path) -> None:
    first = tmp_path / "first"
    first.write_text("precious")
    second = tmp_path / "second"
    if how == "same":
        second = first
    elif how == "other spelling":
        second = tmp_path / ".." / tmp_path.name / "first"
    elif how == "symlink":
        second.symlink_to(first)
    else:
        second.hardlink_to(first)
    for words in ((a, str(first), b, str(second)), (b, str(second), a, str(first))):
        assert "is the file of" in refusal(name, *words)
    assert first.read_text() == "precious"


def test_a_file_that_is_not_there_yet_cannot_be_named_twice_either(tmp_path: Path) -> None:
    said = refusal("run", "--from", "x", "--to", f"{tmp_path}/o", "--mapping", f"{tmp_path}/./o")
    assert "is the file of --to too" in said


def written() -> Iterator[tuple[str, str]]:
    for name, command in commands(cli):
        for param in options(command):
            if isinstance(param.type, OutputFile):
                yield name, param.opts[0]


@pytest.mark.parametrize(("name", "option"), sorted(set(written())))
def test_what_cannot_be_written_is_said_before_the_work(
    name: str, option: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    assert "is a directory" in refusal(name, option, str(tmp_path))
    assert "not a directory" in refusal(name, option, str(tmp_path / "file" / "below"))
    if os.geteuid() != 0:  # root writes anywhere
        (tmp_path / "locked").mkdir(0o500)
        assert "cannot be written" in refusal(name, option, str(tmp_path / "locked" / "x"))


def test_weights_may_be_a_name_or_a_file(tmp_path: Path) -> None:
    assert FileOrName().convert("imagenet", None, None) == "imagenet"
    (tmp_path / "w.pth").write_text("x")
    weights = str(tmp_path / "w.pth")
    assert "is the file of" in refusal("export", "--weights", weights, "--out", weights)


def test_devices_may_be_named_twice() -> None:
    words = ["--from", "x", "--to", "/dev/null", "--mapping", "/dev/null"]
    dict(commands(cli))["run"].make_context("run", words)


LINE = b'{"schema":"stgal.detection.v1","id":"a","timestamp":"2024-01-01T00:00:00Z"}\n'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x1f\x8b\x08" + LINE, "cannot be read"),
        (b"\x28\xb5\x2f\xfd" + LINE, "broken zstd file"),
        (b"PK\x03\x04" + LINE, "a ZIP archive"),
        (LINE.decode().encode("utf-16"), "in UTF-16"),
        (b"\x00\x01\x02" + LINE, "a binary file"),
        (b"a,b,c\n1,2,3\n", "none of the 2 records"),
        (LINE, "none of the 1 records"),
    ],
)
def test_a_file_without_a_detection_is_an_error(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(content)
    (tmp_path / "out").write_text("of yesterday")
    done = stgal("run", "--from", "in", "--to", "out", cwd=tmp_path, check=2)
    assert said in done.stderr
    assert "hint:" in done.stderr


def test_results_that_cannot_be_written_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    stgal("replay", "site", "--people", "3", "--minutes", "1", "--to", "d.jsonl", cwd=tmp_path)
    words = ("run", "--from", "d.jsonl", "--to", "/dev/full", "--mapping", "m.csv")
    done = stgal(*words, cwd=tmp_path, check=2)
    assert "/dev/full cannot be written: No space left" in done.stderr
    (kept,) = tmp_path.glob("stgal-results-*")
    assert str(kept) in done.stderr.replace("\n", "")
    n = len((tmp_path / "d.jsonl").read_text().splitlines())
    assert len((kept / "mapping.csv").read_text().splitlines()) == n + 1
    assert not (tmp_path / "m.csv").exists()


def test_a_log_that_is_not_there_is_no_finished_one(tmp_path: Path) -> None:
    done = stgal("run", "--embedded", "typo", "--until-end", cwd=tmp_path, check=2)
    assert "there is no embedded log at typo" in done.stderr
    assert not (tmp_path / "typo").exists()
