"""Files that a command line names: what is read is never written to, and what cannot be written is
refused before the work and not after it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from stgal_stream.replacing import is_device

_NAMED = f"{__name__}.named"


@dataclass(frozen=True, slots=True)
class _Named:
    option: str
    path: Path
    is_written: bool


class InputFile(click.Path):
    """A file or a folder that is read. Whether it is there is for the command to say."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; refused where another option writes to the same file."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        _refuse_twice(self, path, param, ctx, is_written=False)
        return path


class OutputFile(click.Path):
    """A file that is written: not the file of another option, and in a folder that takes it.

    ``makes_folders``: folders that are missing are made by the command.
    """

    def __init__(self, *, makes_folders: bool = False) -> None:
        super().__init__(path_type=Path)
        self._makes_folders = makes_folders

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; refused where it cannot be written, or is another option's file."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        why = _why_not(path, self._makes_folders)
        if why is not None:
            self.fail(why, param, ctx)
        _refuse_twice(self, path, param, ctx, is_written=True)
        return path


class OutputFolder(click.Path):
    """A folder that is written: a new one, or an empty one that is there."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; refused where it holds something, or cannot be made."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if path.is_dir():
            why = f"{path} is not empty." if any(path.iterdir()) else None
        else:
            why = f"{path} is a file." if path.exists() else _why_not(path, makes_folders=False)
        if why is not None:
            self.fail(why, param, ctx)
        _refuse_twice(self, path, param, ctx, is_written=True)
        return path


class FileOrName(InputFile):
    """A file that is read, or a name that is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The text as it is."""
        if Path(str(value)).is_file():
            super().convert(value, param, ctx)
        return value


def _why_not(path: Path, makes_folders: bool) -> str | None:
    """Why a file cannot be written, as far as can be known before it is."""
    if path.is_dir():
        return f"{path} is a directory, not a file."
    if is_device(path):
        return None if os.access(path, os.W_OK) else f"{path} cannot be written to."
    folder = path.resolve().parent
    while makes_folders and not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        return f"{folder} is not a directory."
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"the folder {folder} cannot be written to."
    return None


def _refuse_twice(
    kind: click.Path,
    path: Path,
    param: click.Parameter | None,
    ctx: click.Context | None,
    *,
    is_written: bool,
) -> None:
    """No two options of one command may name one file, if one of them writes it."""
    if ctx is None or param is None:
        return
    option = param.opts[0]
    named: list[_Named] = ctx.meta.setdefault(_NAMED, [])
    for other in named:
        is_at_risk = (is_written or other.is_written) and option != other.option
        if is_at_risk and _is_one_file(path, other.path):
            kind.fail(f"{path} is the file of {other.option} too.", param, ctx)
    named.append(_Named(option, path, is_written))


def _is_one_file(a: Path, b: Path) -> bool:
    """By device and inode, links included; devices and pipes may be named twice."""
    if a.exists() and b.exists():
        return not is_device(a) and a.samefile(b)
    return a.resolve() == b.resolve()
