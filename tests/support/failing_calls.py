"""System calls of a running process that fail, or come late, for a while: by strace."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.programs import program


@contextmanager
def failing(pid: int, calls: str, how: str) -> Iterator[None]:
    """``calls`` of all threads of a process end as ``how`` says: ``error=EIO``, or
    ``delay_enter=300ms``."""
    command = [program("strace", "strace"), "-f", "-p", str(pid), "-o", "/dev/null"]
    command += ["-e", f"trace={calls}", "-e", f"inject={calls}:{how}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        said = strace.stderr.readline()
        if "not permitted" in said:
            pytest.skip(f"this machine lets nobody trace another process: {said.strip()}")
        assert "attached" in said, said
        try:
            yield
        finally:
            strace.terminate()
            strace.stderr.read()
