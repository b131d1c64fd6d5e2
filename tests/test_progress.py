"""Long work says how far it is, with and without a terminal."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from stgal_stream.commands import progress
from stgal_stream.commands.progress import StepBars, counted


@pytest.mark.parametrize("terminal", [True, False])
def test_a_step_says_how_far_how_fast_and_how_long(
    terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SAY_EVERY_S", 0.05)
    out = io.StringIO()
    with counted(Console(file=out, force_terminal=terminal, width=120, color_system=None)) as bars:
        steps = StepBars(bars)
        for done in range(1, 9):
            time.sleep(0.02)
            steps.say("training", done, 10, f"loss {done:.3f}")
    lines = [line for line in out.getvalue().splitlines() if "of 10" in line]
    if terminal:
        assert not lines
        assert "/s" in out.getvalue()
    else:
        assert lines
        assert "training (loss" in lines[0]
        assert "/s" in lines[-1]
        assert "0:00:0" in lines[-1]
