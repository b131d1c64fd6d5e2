"""Programs of other projects that tests start: real servers, on loopback."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:{Path.home() / 'go/bin'}"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def program(name: str, package: str) -> str:
    """Where it is; without it a laptop skips and CI fails. ``package`` is Debian's."""
    found = found_program(name)
    if found is None:
        message = f"no {name}: run `make test`, or apt-get install {package}"
        if os.environ.get("KAFKA_TEST_REQUIRED") or os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


def found_program(name: str) -> str | None:
    """Where it is, be it installed or built by Go."""
    return shutil.which(name, path=_PATH)
