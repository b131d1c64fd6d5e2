"""The clock of a process that somebody sets while it runs: Python's ``time.time``, by which alone a
daemon knows what time it is. What it counts seconds with (``time.monotonic``) is left alone, as it
is where a machine's clock is set."""

from __future__ import annotations

from pathlib import Path

_SITE = """\
import time
_now, _off = time.time, {off!r}
def _set_off():
    with open(_off) as by:
        return _now() + float(by.read() or 0)
time.time = _set_off
"""


class SteppingClock:
    """``environ`` is what a process is started with whose clock is to be set."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._off = folder / "off"
        (folder / "sitecustomize.py").write_text(_SITE.format(off=str(self._off)))
        self.environ = {"PYTHONPATH": str(folder)}
        self.set_off(0.0)

    def set_off(self, by_s: float) -> None:
        """From now on it is so many seconds off."""
        fresh = self._off.with_suffix(".new")
        fresh.write_text(str(by_s))
        fresh.replace(self._off)
