"""Waits end by what happened or by a fault, never by how fast the machine is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

HANG_S = 1800.0  # what takes longer hangs, on any machine: only then a test gives up
_POLL_S = 0.02


class Live(Protocol):
    """Something at work beside the test."""

    def check(self) -> None:
        """
        Raises:
            BaseException: it has failed.
        """


live: list[Live] = []


def wait_for(what: Callable[[], bool], about: str = "it") -> None:
    """Until something has come about; ends at once where something at work has failed."""
    began_s = time.monotonic()
    while not what():
        for each in live:
            each.check()
        assert time.monotonic() - began_s < HANG_S, f"{about} did not come about"
        time.sleep(_POLL_S)
