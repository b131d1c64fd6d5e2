"""A retraining's command and checkpoint, as tests need them."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from stgal_stream.extractor.onnx import OnnxExtractor
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.training.peers import Peers
from stgal_stream.training.trainer import TrainingSettings

CHECKPOINT = {"network": {}, "optimiser": {}, "iteration": 0, "losses": []}
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2")


def once(settings: TrainingSettings, baseline: Path) -> dict[str, Any]:
    """As the command settles them with ``--iterations 1``, for a checkpoint."""
    form = OnnxExtractor(baseline, eight_bit=False).form
    return asdict(
        replace(settings, iterations=1, precision=Peers.alone().precision_of("auto", form))
    )


def kind(log_at: Path, baseline: Path) -> dict[str, Any]:
    """What a checkpoint has to share with a run on this log by the command's defaults."""
    log = EmbeddedLog(log_at)
    source = log.identity
    log.close()
    return {
        "source": source,
        "baseline": OnnxExtractor(baseline).version,
        "within_cameras": False,
        "held_out": 0.3,
        "max_tracklets": 20_000,
        "crop_size": [48, 24],
    }
