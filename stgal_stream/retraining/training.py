"""Fine-tuning of an extractor on pseudo-pairs. The law: a run that is stopped and resumed ends with
the weights of one that was not (CPU, one process)."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from stgal_stream.errors import ModelError
from stgal_stream.extractor.crops import CropFormat
from stgal_stream.extractor.network import ResNet50
from stgal_stream.retraining.batches import Sampler, augmented
from stgal_stream.retraining.losses import LOSSES

_KEEP_EVERY = 50
_RISE = 0.1


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How to train; ``paper()`` is as printed. Which default stands wrong pairs best is not
    measured by a command yet. A batch has ``n_views`` crops of each sighting in ``n_pairs`` pairs
    and of a hard negative of each."""

    loss: str = "contrastive"
    optimiser: str = "adamw"
    learning_rate: float = 3e-4
    iterations: int = 300
    n_pairs: int = 10
    seed: int = 0
    n_views: int = 2

    @classmethod
    def paper(cls, seed: int = 0) -> TrainingSettings:
        """Equation 6, batch-hard, SGD at 0.0005 for 30,000 iterations."""
        return cls("batch-hard", "sgd", 5e-4, 30_000, 16, seed, 1)

    def rate(self, iteration: int) -> float:
        """The learning rate: it rises over the first tenth and falls to 0 on a cosine; SGD's, as
        the paper has it, stays."""
        if self.optimiser == "sgd":
            return self.learning_rate
        done = (iteration + 1) / self.iterations
        fall = 0.5 + 0.5 * math.cos(math.pi * max(0.0, done - _RISE) / (1.0 - _RISE))
        return self.learning_rate * min(1.0, done / _RISE) * fall


@dataclass(slots=True)
class Progress:
    """How far a run is."""

    iteration: int
    loss: float


class Training:
    """One run: a network, its optimiser, and a checkpoint after every fifty iterations."""

    def __init__(
        self,
        network: ResNet50,
        form: CropFormat,
        settings: TrainingSettings,
        checkpoint: Path,
        about: dict[str, Any],
    ) -> None:
        self.network = network
        self.settings = settings
        self.iteration = 0
        self.losses: list[float] = []
        self._form = form
        self._checkpoint = checkpoint
        self._about = about
        parameters = list(network.parameters())
        if settings.optimiser == "sgd":
            self._optimiser: torch.optim.Optimizer = torch.optim.SGD(
                parameters, settings.learning_rate
            )
        else:
            self._optimiser = torch.optim.AdamW(
                parameters, settings.learning_rate, weight_decay=0.01
            )

    def run(
        self,
        sampler: Sampler,
        views: list[NDArray[np.uint8]],
        stop: threading.Event,
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> bool:
        """Trains to the end, or until ``stop``; whether it came to the end. ``views`` are the
        crops (K, H, W, 3) of each sighting.

        Raises:
            ModelError: the loss is no number any more.
        """
        loss_of = LOSSES[self.settings.loss]
        self.network.train()
        while self.iteration < self.settings.iterations:
            if stop.is_set():
                self.save()
                return False
            batch, rng = sampler.batch(self.iteration)
            chosen = zip(batch.rows.tolist(), batch.views.tolist(), strict=True)
            pixels = np.stack([views[row][view] for row, view in chosen])
            crops = self._form.normalise(augmented(pixels, rng))
            images = torch.from_numpy(crops).to(memory_format=torch.channels_last)
            features = self.network(images)
            loss = loss_of(features, torch.from_numpy(batch.same), torch.from_numpy(batch.other))
            if not bool(torch.isfinite(loss)):
                raise ModelError(
                    f"the loss is no number after {self.iteration} iterations",
                    hint="a smaller --learning-rate",
                )
            for group in self._optimiser.param_groups:
                group["lr"] = self.settings.rate(self.iteration)
            self._optimiser.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
            self._optimiser.step()
            self.iteration += 1
            self.losses.append(float(loss.detach()))
            on_progress(Progress(self.iteration, self.losses[-1]))
            if self.iteration % _KEEP_EVERY == 0:
                self.save()
        return True

    def save(self) -> None:
        """Writes the checkpoint, whole or not at all."""
        state = {
            "network": self.network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "iteration": self.iteration,
            "losses": self.losses,
            "settings": asdict(self.settings),
            "about": self._about,
        }
        temporary = self._checkpoint.with_suffix(".tmp")
        temporary.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, temporary)
        temporary.replace(self._checkpoint)

    def resume(self, state: dict[str, Any]) -> None:
        """Goes on from what :func:`read_checkpoint` gave."""
        self.network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.iteration, self.losses = state["iteration"], list(state["losses"])


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """A run's state; None where there is none.

    Raises:
        ModelError: it cannot be read.
    """
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ModelError(
            f"{path} cannot be read: {error}", hint="remove it and start anew"
        ) from error
    return state
