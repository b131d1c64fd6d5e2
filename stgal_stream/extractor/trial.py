"""A model's first run, in a process of its own with limits.

A model is a program: one that never ends or that eats memory would take the daemon with it. So who
loads a model that somebody else made tries it here first.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from stgal_stream.errors import ModelError, StgalError
from stgal_stream.extractor.onnx import OnnxExtractor
from stgal_stream.extractor.providers import CPU, usable

_REFUSED = 3  # exit code: what is wrong stands on standard output
_SAID = 2000


def tried(path: Path, loading: dict[str, Any], *, limit_s: float, limit_bytes: int) -> None:
    """Loads a model and runs its self-test elsewhere. ``loading`` are ``OnnxExtractor``'s options,
    ``limit_bytes`` is what the process may hold on a CPU: a GPU's driver maps far more.

    Raises:
        ModelError: it cannot be used, did not end in ``limit_s``, or ended the process.
    """
    options = {**loading, "threads": 1}
    command = [sys.executable, "-m", __name__, str(path), json.dumps(options), str(limit_bytes)]
    # Each thread's arena of the C library counts as held, whether used or not.
    env = {**os.environ, "MALLOC_ARENA_MAX": "2", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(  # noqa: S603  # this module, no shell
            command, capture_output=True, timeout=limit_s, env=env, check=False, text=True
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            f"{path} did not pass its self-test within {limit_s:g} s and was stopped",
            hint="it never ends, or this machine is too slow for it: embed.self_test_s",
        ) from error
    if done.returncode == _REFUSED:
        raise ModelError(done.stdout[:_SAID])
    if done.returncode != 0:
        last = done.stderr.strip().rpartition("\n")[2][:_SAID]
        raise ModelError(
            f"{path} ends the process that tries it (code {done.returncode}): {last}",
            hint=f"it may hold {limit_bytes:,} bytes at most: embed.self_test_bytes",
        )


def _main(path: str, options: str, limit_bytes: str) -> int:
    loading = json.loads(options)
    if usable(loading.get("providers", (CPU,))) == [CPU]:
        resource.setrlimit(resource.RLIMIT_AS, (int(limit_bytes), int(limit_bytes)))
    try:
        OnnxExtractor(Path(path), **loading)
    except StgalError as error:
        print(error)  # noqa: T201  # for the process that asked
        return _REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
