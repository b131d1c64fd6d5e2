"""The commands of README and documentation run as they are printed; examples and pages are true.

A block of commands is marked: ``<!-- run -->`` in an empty folder, ``<!-- run: checkout -->`` at
the root of the repository, ``kafka`` with a broker, ``training`` where a network is trained,
``frigate`` with Mosquitto and a Frigate. The
first block of the README (make) is what CI itself runs; docs/accuracy.md needs data that is not
shipped.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import click
import pytest

from stgal_stream.cli import cli
from stgal_stream.types import REASONS, Reason
from tests.support.places import TOPICS
from tests.support.waiting import HANG_S

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(?:<!-- run(?:: (\w+))? -->\n)?```bash\n(.*?)```", re.DOTALL)


def blocks() -> list[Any]:
    found, seen = [], set()
    for page in PAGES:
        for number, match in enumerate(BLOCK.finditer(page.read_text())):
            is_marked = match.group(0).startswith("<!-- run")
            kind = match.group(1) or ("" if is_marked else "unmarked")
            if page.name == "accuracy.md" or match.group(2).startswith("make "):
                continue
            if kind == "frigate":  # tests/bridge/test_frigate_command.py runs it
                continue
            if (kind, match.group(2)) in seen:  # the same commands on another page
                continue
            seen.add((kind, match.group(2)))
            mark = [getattr(pytest.mark, kind)] if kind in ("kafka", "training") else []
            name = f"{page.relative_to(ROOT)}-{number}"
            marks = [*mark, pytest.mark.slow]
            found.append(pytest.param(kind, match.group(2), id=name, marks=marks))
    return found


@pytest.mark.parametrize(("kind", "commands"), blocks())
def test_commands_run_as_printed(
    kind: str, commands: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    assert kind != "unmarked", "say how the block runs: <!-- run --> before it"
    environ = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        "XDG_STATE_HOME": str(tmp_path),
        "STGAL_DAEMON_HTTP_PORT": "0",
    }
    if kind == "kafka":
        commands = commands.replace("localhost:9092", request.getfixturevalue("broker"))
        prefix = uuid.uuid4().hex[:8]
        environ |= {f"STGAL_TOPICS_{name}".upper(): f"{prefix}-{name}" for name in TOPICS}
        environ |= {"STGAL_KAFKA_GROUP_PREFIX": prefix, "STGAL_KAFKA_INSTANCE": prefix}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=ROOT if kind == "checkout" else tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_every_command_is_on_a_page() -> None:
    text = "".join(page.read_text() for page in PAGES)
    for name, command in cli.loaded():
        assert isinstance(command, click.Command)
        if name not in ("completion", "quantise"):
            assert f"stgal-stream {name}" in text or f"`{name}" in text, name


def test_every_message_of_the_troubleshooting_page_is_in_the_code() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    messages = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    assert len(messages) > 10
    code = "".join(path.read_text() for path in (ROOT / "stgal_stream").rglob("*.py"))
    code = re.sub(r"\s+", " ", code)
    for message in messages:
        assert message in code, message


def test_every_reason_is_explained() -> None:
    assert set(REASONS) == set(Reason)
    for what, todo in REASONS.values():
        assert what.endswith(".")
        assert todo.endswith(".")


def test_the_notebook_runs() -> None:
    import matplotlib

    matplotlib.use("agg")
    book = json.loads((ROOT / "examples" / "calibration.ipynb").read_text())
    names: dict[str, Any] = {}
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert names["fit"].same.sum() == pytest.approx(300, rel=0.2)


def test_the_library_example_finds_its_people() -> None:
    script = ROOT / "examples" / "arrays_to_identities.py"
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert re.search(r"\b(39|4[0-4]) identities", done.stdout), done.stdout
