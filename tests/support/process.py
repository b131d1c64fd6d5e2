"""The command line as its own process."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import msgspec

from stgal_stream.settings import Config
from tests.support.waiting import HANG_S


class Daemon:
    """``stgal-stream run`` as its own process."""

    def __init__(
        self, where: list[str], config: Config, directory: Path, *, forever: bool = False
    ) -> None:
        path = directory / "config.toml"
        path.write_text(_toml(config))
        self._command = [
            sys.executable, "-m", "stgal_stream.cli", "run", *where,
            "--config", str(path), *([] if forever else ["--until-end"]),
        ]  # fmt: skip
        self._errors = directory / "stderr"
        self.process: subprocess.Popen[bytes] | None = None
        self.environ: dict[str, str] = {}

    def start(self) -> None:
        with self._errors.open("ab") as errors:
            environ = os.environ | self.environ
            self.process = subprocess.Popen(self._command, stderr=errors, env=environ)

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def errors(self) -> str:
        """What it said on standard error, all its lives together."""
        return self._errors.read_text()

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def finish(self) -> None:
        assert self.process is not None
        code = self.process.wait(HANG_S)
        assert code == 0, self.errors[-3000:]


def _toml(config: Config) -> str:
    lines = []
    for section in ("kafka", "topics", "embed", "associate", "daemon"):
        lines.append(f"[{section}]")
        for key, value in msgspec.to_builtins(getattr(config, section)).items():
            if value is not None and value != {}:
                lines.append(f"{key} = {json.dumps(value)}")
    return "\n".join(lines) + "\n"


COMMAND = [sys.executable, "-m", "stgal_stream.cli"]

# What a command imports. Torch alone takes four seconds, and the tests call a hundred commands:
# each is forked from a process that has imported these and done nothing else.
_IMPORTED = ["stgal_stream.cli", "stgal_stream.retraining.job", "stgal_stream.log.kafka"]
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(_IMPORTED)


def stgal(
    *arguments: str, cwd: Path, check: int = 0, environ: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end in a process of its own."""
    environ = os.environ | {"XDG_STATE_HOME": str(cwd), "COLUMNS": "200"} | dict(environ)
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder) / name for name in ("stdout", "stderr")]
        process = _FORKS.Process(target=_run, args=(arguments, cwd, environ, outputs))
        process.start()
        process.join(HANG_S)
        if process.exitcode is None:
            process.kill()
            process.join()
        out, error = (path.read_text() for path in outputs)
    code = process.exitcode or 0
    assert code == check, f"exit code {code}: {error[-3000:]}"
    assert "Traceback" not in error
    return subprocess.CompletedProcess(arguments, code, out, error)


def _run(
    arguments: Sequence[str], cwd: Path, environ: Mapping[str, str], outputs: Sequence[Path]
) -> None:
    """The forked process: as if a shell had started it in ``cwd``."""
    from stgal_stream.cli import main

    for descriptor, path in enumerate(outputs, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), descriptor)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    tempfile.tempdir = None  # it is where this environment says
    sys.argv = ["stgal-stream", *arguments]
    main()
