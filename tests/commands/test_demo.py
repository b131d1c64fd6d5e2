"""``stgal-stream demo --web``: the live page at the end of the demo."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from stgal_stream.cli import cli
from stgal_stream.errors import ConfigError
from stgal_stream.web import application
from tests.support.process import COMMAND
from tests.support.waiting import HANG_S, wait_for


def refused(folder: Path) -> ConfigError:
    done = CliRunner().invoke(cli, ["demo", "--web", "--out", str(folder / "demo")])
    assert isinstance(done.exception, ConfigError), done.output
    assert not (folder / "demo").exists()
    return done.exception


def test_what_the_page_lacks_is_told_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "uvicorn", None)
        error = refused(tmp_path)
        assert "needs uvicorn" in str(error)
        assert error.hint == 'pip install "stgal-stream[web]"'
    monkeypatch.setattr(application, "PAGE", tmp_path)
    error = refused(tmp_path)
    assert "libraries are missing" in str(error)
    assert "tools/web-setup" in str(error.hint)


def asked(address: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=HANG_S) as answer:
        return json.load(answer)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [*COMMAND, "demo", "--people", "4", "--minutes", "2", "--out", "demo", "--web"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()  # where it did not end as it should


def test_the_page_opens_on_the_demos_log_and_obeys_a_correction(
    demo: subprocess.Popen[str],
) -> None:
    assert demo.stdout is not None
    addresses = (re.match(r"(http://127\.0\.0\.1:\d+/)", line) for line in demo.stdout)
    api = next(f"{found[1]}api/v1/" for found in addresses if found)
    wait_for(lambda: asked(f"{api}sites"), "the page has read the log")
    (site,) = [each["site"] for each in asked(f"{api}sites")]
    one, other = asked(f"{api}identities?site={site}&limit=2")["items"]
    named = {"first": {"identity": one["id"]}, "second": {"identity": other["id"]}}
    correction = asked(f"{api}corrections?site={site}", {"verdict": "same", **named})
    outcome = f"{api}corrections?site={site}&id={correction['correctionId']}"
    wait_for(lambda: asked(outcome)["items"], "the tracker's answer")
    assert asked(outcome)["items"][0]["refused"] is None
    demo.send_signal(signal.SIGINT)
    _, errors = demo.communicate(timeout=HANG_S)
    assert demo.returncode == 0, errors
    assert "Traceback" not in errors
