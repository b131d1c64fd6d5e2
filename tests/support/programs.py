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


def program(name: str, package: str | None = None) -> str:
    """Where it is; without it a laptop skips and CI fails. ``package`` is Debian's."""
    found = shutil.which(name, path=_PATH)
    if found is None:
        install = f", or apt-get install {package}" if package else ""
        message = f"no {name}: run `make test`{install}"
        if os.environ.get("KAFKA_TEST_REQUIRED") or os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found
