"""What the tests of a change of the extractor share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stgal_stream.settings import Config
from tests.support.rollout import N_PARTITIONS
from tests.support.tiny_model import tiny


@pytest.fixture
def chosen(config: Config, tmp_path: Path) -> Config:
    """A daemon on a small extractor, over several partitions where the log has them."""
    # As many numbers as it sees colours: with fewer it is by chance whether cameras are linked.
    model = tiny(tmp_path / "configured.onnx", version="configured", dim=24, size=(24, 12))
    config.embed.model = str(model)
    config.embed.releases = str(tmp_path / "releases")
    config.embed.batch_size = 8
    config.input.max_future_s = 1e12
    config.associate = replace(config.associate, first_calibration=40)
    config.kafka.partitions = N_PARTITIONS
    config.daemon.snapshot_every_s = 0.5
    return config
