"""One at a time in a folder; the lock goes with the process, however it ends."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stgal_stream.errors import DataError


@contextmanager
def exclusive(folder: Path, what: str) -> Iterator[None]:
    """Holds a folder, which is made if need be, for ``what``.

    Raises:
        DataError: another one works there, or it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise DataError(f"{folder} cannot be used: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataError(f"another {what} works in {folder}") from error
        yield
