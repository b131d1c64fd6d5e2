"""A retraining's command and checkpoint, as tests need them."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from typing import Any

from stgal_stream.training.peers import Peers
from stgal_stream.training.trainer import TrainingSettings

CHECKPOINT = {"network": {}, "optimiser": {}, "iteration": 0, "losses": []}
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2")


def once(settings: TrainingSettings) -> dict[str, Any]:
    """As the command settles them with ``--iterations 1``, for a checkpoint."""
    return asdict(replace(settings, iterations=1, precision=Peers.alone().fast_precision))
