"""A file that is replaced as a whole, or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stgal_stream.errors import DataError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a path to write to, beside ``path``; its file takes the place of ``path`` when the
    block ends well. Where it does not, ``path`` is as it was and nothing is left beside it.

    A link stays a link and what it leads to is replaced. A device or a pipe has no place beside it
    and is written to directly.

    Raises:
        DataError: it cannot be written.
    """
    if is_device(path):
        with _said(path):
            yield path
        return
    target = path.resolve()
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with _said(path):
            yield temporary
            if target.exists():
                shutil.copymode(target, temporary)
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def is_device(path: Path) -> bool:
    """Whether a path is there and no file: a device or a pipe, such as /dev/stdout."""
    return path.exists() and not path.is_file()


@contextmanager
def _said(path: Path) -> Iterator[None]:
    """A fault of the disk names the file as the user did."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from error
