"""A short training alone or under torchrun; the leader prints its losses and what its
first layer normalises by.

By SGD, whose steps are as long as the gradient: what is taken twice, or by halves, shows.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import numpy as np
import torch

from stgal_stream.extractor.crops import CropFormat
from stgal_stream.extractor.onnx import SHIPPED
from stgal_stream.retraining.baseline import make_trainable
from stgal_stream.training.batches import PseudoPair, Sampler
from stgal_stream.training.from_onnx import network_of
from stgal_stream.training.loader import Loader
from stgal_stream.training.peers import Peers
from stgal_stream.training.trainer import Training, TrainingSettings
from tests.support.pictures import encoded

# As small as bfloat16 is right for in every torch that is known.
SIZE = (48, 24)


def main() -> None:
    torch.set_num_threads(1)
    form = CropFormat(*SIZE, (0.5,) * 3, (0.25,) * 3)
    crops = encoded(np.random.default_rng(4).integers(0, 256, (24, 2, *SIZE, 3), dtype=np.uint8))
    settings = TrainingSettings(
        "scaled-batch-hard",
        "sgd",
        0.002,
        5,
        8,
        seed=2,
        precision=sys.argv[2],
        n_parts=int(sys.argv[3]),
    )
    pairs = [PseudoPair(i, i + 1, 0.9) for i in range(0, 24, 2)]
    draws = Sampler(pairs, {}, settings.seed, settings.n_pairs, crops.counts, settings.n_views)
    with Peers.joined() as peers:
        network = make_trainable(network_of(SHIPPED), crops, form)
        training = Training(network, settings, Path(sys.argv[1]), {}, peers)
        training.run(Loader(draws, crops, form), threading.Event())
        if peers.leads:
            state = network.state_dict()
            seen = [state[f"net.bn1.running_{what}"].tolist() for what in ("mean", "var")]
            print(json.dumps([training.losses, *seen]))


if __name__ == "__main__":
    main()
