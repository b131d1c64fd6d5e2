"""Every tool starts; `make check` holds its types, so a renamed module cannot leave one behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = sorted(
    path
    for path in (ROOT / "tools").iterdir()
    if path.is_file() and b"python" in path.read_bytes()[:40]
)


@pytest.mark.training  # they import torch
@pytest.mark.parametrize("tool", TOOLS, ids=lambda path: path.name)
def test_every_tool_says_what_it_takes(tool: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(tool), "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout.lower()
