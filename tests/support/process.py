"""The command line as its own process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

from stgal_stream.settings import Config
from tests.support.waiting import HANG_S


class Daemon:
    """``stgal-stream run`` as its own process."""

    def __init__(self, where: list[str], config: Config, directory: Path) -> None:
        path = directory / "config.toml"
        path.write_text(_toml(config))
        self._command = [
            sys.executable, "-m", "stgal_stream.cli", "run", *where,
            "--config", str(path), "--until-end",
        ]  # fmt: skip
        self._errors = directory / "stderr"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._errors.open("ab") as errors:
            self.process = subprocess.Popen(self._command, stderr=errors)

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def finish(self) -> None:
        assert self.process is not None
        code = self.process.wait(HANG_S)
        assert code == 0, self._errors.read_text()[-3000:]


def _toml(config: Config) -> str:
    lines = []
    for section in ("kafka", "topics", "embed", "associate", "daemon"):
        lines.append(f"[{section}]")
        for key, value in msgspec.to_builtins(getattr(config, section)).items():
            if value is not None and value != {}:
                lines.append(f"{key} = {json.dumps(value)}")
    return "\n".join(lines) + "\n"


COMMAND = [sys.executable, "-m", "stgal_stream.cli"]


def stgal(
    *arguments: str, cwd: Path, check: int = 0, environ: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=HANG_S,
        env=os.environ | {"XDG_STATE_HOME": str(cwd), "COLUMNS": "200"} | dict(environ),
    )
    assert done.returncode == check, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    return done
