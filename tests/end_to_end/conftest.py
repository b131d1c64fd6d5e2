"""A site whose stream a retraining reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stgal_stream.extractor.onnx import SHIPPED
from stgal_stream.training.export import export, imagenet_format
from stgal_stream.training.from_onnx import network_of
from tests.support.process import stgal


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped extractor on crops of half its size, four times as fast."""
    path = tmp_path_factory.mktemp("half") / "half.onnx"
    export(network_of(SHIPPED), path, imagenet_format(48, 24), version="half")
    return path


@pytest.fixture(scope="module")
def site(half: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small simulated site that went through the daemon on an embedded log."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STGAL_EMBED_MODEL", str(half))  # of all commands here
        patch.setenv("STGAL_DAEMON_HTTP_PORT", "0")
        where = ("--embedded", "log")
        stgal("replay", "site", "--people", "30", "--minutes", "6", *where, cwd=folder)
        # Stamped by the simulation and not by today's clock.
        stgal("run", *where, "--until-end", cwd=folder)
        yield folder
