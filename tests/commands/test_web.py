"""``stgal-stream web``: what it refuses before it serves."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from stgal_stream.configuration import load_config
from stgal_stream.exclusive import exclusive
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.topics import topic_specs
from tests.support.process import stgal

TOKEN = "a-token-of-some-length"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    log = EmbeddedLog(tmp_path / "log")
    log.ensure_topics(topic_specs(load_config(None, {})))
    log.close()
    return tmp_path


def test_it_says_what_is_wrong_and_what_to_do(folder: Path) -> None:
    def refused(*arguments: str, code: int = 2, **environ: str) -> str:
        return stgal("web", *arguments, cwd=folder, check=code, environ=environ).stderr

    here = ("--embedded", "log")
    assert "name one log" in refused()
    assert "no embedded log at nowhere" in refused("--embedded", "nowhere")
    assert "a token is needed" in refused(*here, "--host", "0.0.0.0")
    assert "at least 16 are needed" in refused(*here, STGAL_WEB_TOKEN="short")
    (folder / "token").write_bytes(b"\xff\xfe")
    assert "cannot be read" in refused(*here, "--token-file", "token")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = refused(*here, "--port", port)
        assert f"cannot be served on 127.0.0.1:{port}" in said
    said = refused(*here, "--host", "256.1.1.1", STGAL_WEB_TOKEN=TOKEN)
    assert "cannot be served" in said
    assert TOKEN not in said
    (folder / "file").write_text("x")
    assert "cannot be used" in refused(*here, "--state-dir", "file")


def test_two_do_not_share_a_directory(folder: Path) -> None:
    with exclusive(folder / "web", "stgal-stream web"):
        said = stgal("web", "--embedded", "log", "--state-dir", "web", cwd=folder, check=2).stderr
    assert "another stgal-stream web works in web" in said
