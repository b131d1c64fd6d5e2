"""`--help` tells of every command and loads none of them."""

from __future__ import annotations

import subprocess
import sys

import stgal_stream
from stgal_stream.cli import COMMANDS, cli

_HEAVY = ("numpy", "onnxruntime", "scipy", "kafka", "rich", "paho", "torch", "prometheus_client")


def test_every_command_is_told_as_it_tells_of_itself() -> None:
    for name, command in cli.loaded():
        assert command.name == name
        assert command.get_short_help_str(limit=200) == COMMANDS[name][1]


def test_help_and_version_load_no_library() -> None:
    code = (
        "import sys; from stgal_stream.cli import cli;"
        "cli.main(sys.argv[1:], standalone_mode=False);"
        f"print('LOADED', [m for m in {_HEAVY} if m in sys.modules])"
    )
    for option in ("--help", "--version"):
        done = subprocess.run(
            [sys.executable, "-c", code, option], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip().endswith("LOADED []"), done.stdout


def test_the_public_door_leads_to_what_it_names() -> None:
    for name in stgal_stream.__all__:
        assert getattr(stgal_stream, name) is not None
    assert set(stgal_stream.__all__) == set(dir(stgal_stream))
    assert stgal_stream.__version__.count(".") == 2
