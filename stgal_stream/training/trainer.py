"""Fine-tuning of an extractor on pseudo-pairs.

Laws: a run that is stopped and resumed ends with the weights of one that was not (CPU, one
process); several processes have the losses of one.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stgal_stream.errors import DataError, ModelError
from stgal_stream.training.loader import Loader, Ready
from stgal_stream.training.losses import LOSSES
from stgal_stream.training.network import ResNet50
from stgal_stream.training.peers import Peers

KEEP_EVERY = 50
_RISE = 0.1
_MOMENTUM = 0.1
_PARTS = {"network", "optimiser", "iteration", "losses", "settings", "about"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How to train; ``paper()`` is as printed. The default loss is what held best against the wrong
    pairs of a stream, and it went on gaining for as long as was tried (docs/accuracy.md). A batch
    has ``n_views`` crops of each sighting in ``n_pairs`` pairs, drawn in proportion to their
    posterior if ``weighted``, and of a hard negative of each. It is normalised in ``n_parts``, each
    by its own statistics, which as many processes can compute apart. In ``precision`` bfloat16 the
    network computes in halves; its weights and the loss stay float32."""

    loss: str = "scaled-batch-hard"
    optimiser: str = "adamw"
    learning_rate: float = 3e-4
    iterations: int = 800
    n_pairs: int = 10
    seed: int = 0
    n_views: int = 2
    n_parts: int = 2
    weighted: bool = True
    precision: str = "float32"

    @classmethod
    def paper(cls, seed: int = 0) -> TrainingSettings:
        """Equation 6, batch-hard, SGD at 0.0005 for 30,000 iterations."""
        return cls("batch-hard", "sgd", 5e-4, 30_000, 16, seed, 1, weighted=False)

    @classmethod
    def within_cameras(cls, seed: int = 0) -> TrainingSettings:
        """For what one camera alone tells apart: gently, since its positives are looks at one
        moment, and what the baseline knows across cameras is not among its lessons."""
        return cls("contrastive", learning_rate=3e-5, iterations=150, seed=seed)

    def rate(self, iteration: int) -> float:
        """The learning rate: it rises over the first tenth and falls to 0 on a cosine; SGD's, as
        the paper has it, stays."""
        if self.optimiser == "sgd":
            return self.learning_rate
        done = (iteration + 0.5) / self.iterations
        fall = 0.5 + 0.5 * math.cos(math.pi * max(0.0, done - _RISE) / (1.0 - _RISE))
        return self.learning_rate * min(1.0, done / _RISE) * fall


@dataclass(slots=True)
class Progress:
    """How far a run is."""

    iteration: int
    loss: float


class _InParts(nn.Module):
    """A network over its process's parts of a batch, each normalised by itself.

    Running statistics follow the parts as if all had been seen at once, each with the weight that
    it has where one process sees the whole batch, so that the mean over all processes is what one
    would have.
    """

    def __init__(self, network: ResNet50, n_parts: int) -> None:
        super().__init__()
        self._network = network
        self._norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
        self._follows = 1.0 - (1.0 - _MOMENTUM) ** n_parts

    def forward(self, parts: list[torch.Tensor]) -> torch.Tensor:
        """(n, 3, H, W) each -> (N, D), one part after the other."""
        share = self._follows / len(parts)
        found = []
        for left, images in zip(reversed(range(len(parts))), parts, strict=True):
            for norm in self._norms:
                norm.momentum = share / (1.0 - share * left)
            found.append(self._network(images))
        return torch.cat(found)


class Training:
    """One run: a network, its optimiser, and a checkpoint after every fifty iterations."""

    def __init__(
        self,
        network: ResNet50,
        settings: TrainingSettings,
        checkpoint: Path,
        about: dict[str, Any],
        peers: Peers | None = None,
    ) -> None:
        self.peers = peers or Peers()
        self.network = network.to(self.peers.device).to(memory_format=torch.channels_last)
        self.settings = settings
        self.iteration = 0
        self.losses: list[float] = []
        self._checkpoint = checkpoint
        self.about = about
        self._shared = self.peers.shared(_InParts(self.network, settings.n_parts))
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
        loader: Loader,
        stop: threading.Event,
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> bool:
        """Trains to the end, or until ``stop``, and keeps where it is; whether that is the end.

        Raises:
            ModelError: the loss is no number any more.
            DataError: a batch is smaller than its parts.
        """
        self._shared.train()
        for ready in loader.batches(self.iteration, self.settings.iterations, self.peers.device):
            if self.peers.any(stop.is_set()):
                self.save()
                return False
            self._step(ready)
            on_progress(Progress(self.iteration, self.losses[-1]))
            if self.iteration % KEEP_EVERY == 0:
                self.save()
        self.save()
        return True

    def _step(self, ready: Ready) -> None:
        images, same, other = ready.on(self.peers.device)
        features = self._features(images)
        loss = LOSSES[self.settings.loss](features, same, other)
        if not bool(torch.isfinite(loss)):
            raise ModelError(
                f"the loss is no number after {self.iteration} iterations",
                hint="a smaller --learning-rate",
            )
        for group in self._optimiser.param_groups:
            group["lr"] = self.settings.rate(self.iteration)
        self._optimiser.zero_grad()
        # Each process holds its own features' share of the gradient, and their mean is taken.
        torch.autograd.backward(loss * self.peers.size)
        if self.settings.optimiser != "sgd":  # the paper's takes its steps as they are
            nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
        self._optimiser.step()
        self.iteration += 1
        self.losses.append(float(loss.detach()))

    def _features(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, D): every part by itself, those of other processes from there."""
        n, size, device = self.settings.n_parts, self.peers.size, images.device
        if len(images) < n:
            raise DataError(f"a batch of {len(images)} crops is too small for {n} parts")
        dealt = [range(rank, n, size) for rank in range(size)]
        rows = [torch.arange(part, len(images), n, device=device) for part in range(n)]
        in_halves = self.settings.precision == "bfloat16"
        mine = [images[part::n] for part in dealt[self.peers.rank]]
        with torch.autocast(device.type, torch.bfloat16, enabled=in_halves, cache_enabled=False):
            own = self._shared(mine)
        sizes = [sum(len(rows[part]) for part in parts) for parts in dealt]
        features = torch.cat(self.peers.gather(own.float(), sizes))
        order = torch.cat([rows[part] for parts in dealt for part in parts])
        return features[torch.argsort(order)]

    def save(self) -> None:
        """Writes the checkpoint, whole or not at all; a disk that refuses does not end a training
        that may come to its end without."""
        rank, size, n = self.peers.rank, self.peers.size, self.settings.n_parts
        self.peers.average(self.network.buffers(), len(range(rank, n, size)) / n)
        if not self.peers.leads:
            return
        state = {
            "network": self.network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "iteration": self.iteration,
            "losses": self.losses,
            "settings": asdict(self.settings),
            "about": self.about,
        }
        temporary = self._checkpoint.with_suffix(".tmp")
        try:
            temporary.parent.mkdir(parents=True, exist_ok=True)
            torch.save(state, temporary)
            temporary.replace(self._checkpoint)
        except (OSError, RuntimeError) as error:  # torch's own writer raises the latter
            logger.warning("no checkpoint: %s cannot be written (%s)", temporary, error)
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def resume(self, state: dict[str, Any]) -> None:
        """Goes on from what :func:`read_checkpoint` gave."""
        self.network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.iteration, self.losses = state["iteration"], list(state["losses"])


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """A run's state; None where there is none.

    Raises:
        ModelError: it cannot be read, or is something else.
    """
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        missing = _PARTS - state.keys()
    except Exception as error:  # torch and pickle raise nearly anything
        raise ModelError(f"{path} cannot be read: {type(error).__name__}") from error
    if missing:
        raise ModelError(f"{path} is no checkpoint: {', '.join(sorted(missing))} missing")
    if not (isinstance(state["about"], dict) and isinstance(state["settings"], dict)):
        raise ModelError(f"{path} is no checkpoint: it holds something else")
    return state
