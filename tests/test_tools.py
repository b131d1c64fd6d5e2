"""Every tool starts; `make check` holds its types, so a renamed module cannot leave one behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.process import Forked

ROOT = Path(__file__).resolve().parents[1]
TOOLS = sorted(
    path
    for path in (ROOT / "tools").iterdir()
    if path.is_file() and b"python" in path.read_bytes()[:40]
)


@pytest.mark.training  # they import torch
@pytest.mark.parametrize("tool", TOOLS, ids=lambda path: path.name)
def test_every_tool_says_what_it_takes(tool: Path, tmp_path: Path) -> None:
    outputs = [tmp_path / name for name in ("stdout", "stderr")]
    code = Forked([str(tool), "--help"], tmp_path, os.environ, outputs).wait()
    assert code == 0, outputs[1].read_text()
    assert "usage:" in outputs[0].read_text().lower()
