"""A short training alone or under torchrun; the leader prints its losses and a digest of weights.

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
from stgal_stream.extractor.network import load_network
from stgal_stream.retraining.batches import Sampler
from stgal_stream.retraining.loader import Loader
from stgal_stream.retraining.peers import Peers
from stgal_stream.retraining.pseudo_pairs import PseudoPair
from stgal_stream.retraining.training import Training, TrainingSettings

from .pictures import encoded


def main() -> None:
    torch.set_num_threads(1)
    form = CropFormat(32, 16, (0.5,) * 3, (0.25,) * 3)
    crops = encoded(np.random.default_rng(4).integers(0, 256, (16, 2, 32, 16, 3), dtype=np.uint8))
    settings = TrainingSettings(
        "scaled-batch-hard", "sgd", 0.02, 5, 4, seed=2, precision=sys.argv[2]
    )
    pairs = [PseudoPair(i, i + 1, 0.9) for i in range(0, 16, 2)]
    draws = Sampler(pairs, {}, settings.seed, settings.n_pairs, crops.counts, settings.n_views)
    with Peers.joined() as peers:
        network = load_network("seeded", seed=3)
        training = Training(network, settings, Path(sys.argv[1]), {}, peers)
        training.run(Loader(draws, crops, form), threading.Event())
        if peers.leads:
            print(json.dumps(training.losses))


if __name__ == "__main__":
    main()
