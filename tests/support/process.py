"""The command line as its own process."""

from __future__ import annotations

import atexit
import json
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType

import msgspec

from stgal_stream.settings import Config
from tests.support.programs import free_port
from tests.support.waiting import HANG_S

COMMAND = [sys.executable, "-m", "stgal_stream.cli"]

# What a command imports. Torch alone takes four seconds, and the tests call hundreds of commands:
# each is forked from a process that has imported these and done nothing else.
_IMPORTED = ["stgal_stream.cli", "stgal_stream.retraining.job", "stgal_stream.log.kafka"]
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(_IMPORTED)


@atexit.register  # before multiprocessing's own, which would wait for them
def _end_all() -> None:
    """A test that failed may have left a process behind."""
    for process in multiprocessing.active_children():
        process.kill()


class Forked:
    """A command line in a process of its own, as a shell would have started it; it is asked as a
    ``subprocess.Popen`` is."""

    def __init__(
        self, line: Sequence[str], cwd: Path, environ: Mapping[str, str], outputs: Sequence[Path]
    ) -> None:
        for path in outputs:  # there is something to read from the start
            path.touch(mode=0o600)
        self._process = _FORKS.Process(target=_run, args=(line, cwd, dict(environ), outputs))
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def wait(self, timeout_s: float = HANG_S) -> int:
        """Its exit code, at its end; what hangs is killed."""
        self._process.join(timeout_s)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
        return self._process.exitcode or 0


class Daemon:
    """``stgal-stream run`` as its own process."""

    def __init__(
        self, where: list[str], config: Config, directory: Path, *, forever: bool = False
    ) -> None:
        path = directory / "config.toml"
        path.write_text(_toml(config))
        end = () if forever else ("--until-end",)
        self._line = ["stgal-stream", "run", *where, "--config", str(path), *end]
        self._outputs = [directory / name for name in ("stdout", "stderr")]
        self.process: Forked | subprocess.Popen[bytes] | None = None
        self.environ: dict[str, str] = {}

    def start(self) -> None:
        environ = os.environ | self.environ
        if not self.environ:
            self.process = Forked(self._line, Path.cwd(), environ, self._outputs)
            return
        # What it is given may be meant for the interpreter, which reads it as it starts.
        with ExitStack() as files:
            out, error = (files.enter_context(path.open("ab")) for path in self._outputs)
            self.process = subprocess.Popen(
                [*COMMAND, *self._line[1:]], stdout=out, stderr=error, env=environ
            )

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def errors(self) -> str:
        """What it said on standard error, all its lives together."""
        return self._outputs[1].read_text()

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


def stgal(
    *arguments: str, cwd: Path, check: int = 0, environ: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end in a process of its own."""
    environ = os.environ | {"XDG_STATE_HOME": str(cwd), "COLUMNS": "200"} | dict(environ)
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder) / name for name in ("stdout", "stderr")]
        code = Forked(["stgal-stream", *arguments], cwd, environ, outputs).wait()
        out, error = (path.read_text() for path in outputs)
    assert code == check, f"exit code {code}: {error[-3000:]}"
    assert "Traceback" not in error
    return subprocess.CompletedProcess(arguments, code, out, error)


def together(
    n: int, *line: str, cwd: Path, environ: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end in n processes that ``torchrun`` would have started as one group;
    what all of them said, and the largest exit code."""
    group = {"WORLD_SIZE": str(n), "LOCAL_WORLD_SIZE": str(n), "OMP_NUM_THREADS": "1"}
    group |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    group |= {"XDG_STATE_HOME": str(cwd), **environ}
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder) / name for name in ("stdout", "stderr")]
        members = [
            Forked(line, cwd, os.environ | group | {"RANK": str(k), "LOCAL_RANK": str(k)}, outputs)
            for k in range(n)
        ]
        code = max(abs(member.wait()) for member in members)
        out, error = (path.read_text() for path in outputs)
    return subprocess.CompletedProcess(line, code, out, error)


def _run(
    line: Sequence[str], cwd: Path, environ: Mapping[str, str], outputs: Sequence[Path]
) -> None:
    """The forked process: as if a shell had started it in ``cwd``. The line begins with a command's
    name, a script, or ``-m`` and a module."""
    for descriptor, path in enumerate(outputs, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), descriptor)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    tempfile.tempdir = None  # it is where this environment says
    if "OMP_NUM_THREADS" in environ:  # what was imported has read another environment
        import torch
        from threadpoolctl import threadpool_limits

        threadpool_limits(int(environ["OMP_NUM_THREADS"]))
        torch.set_num_threads(int(environ["OMP_NUM_THREADS"]))
    if line[0] == "-m":
        sys.argv = list(line[1:])
        runpy.run_module(line[1], run_name="__main__", alter_sys=True)
        return
    sys.argv = list(line)
    if Path(line[0]).is_file():
        sys.path.insert(0, str(Path(line[0]).parent))
        runpy.run_path(line[0], run_name="__main__")
        return
    from stgal_stream.cli import main

    main()
