"""The processes that train one network together, as ``torchrun`` starts them; often only one.

Law: what is trained does not depend on how many they are. Every batch is cut into the same
parts, whoever computes them, and every process sees the features of all.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from stgal_stream.errors import ConfigError, ModelError
from stgal_stream.extractor.crops import CropFormat
from stgal_stream.training.bfloat16 import bfloat16_is_right

T = TypeVar("T")
logger = logging.getLogger(__name__)
_CPU = torch.device("cpu")
_PATIENCE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Peers:
    """This process's number, how many there are, and the device that this one computes on."""

    rank: int = 0
    size: int = 1
    device: torch.device = _CPU

    @classmethod
    def alone(cls) -> Peers:
        """One process on the best device there is."""
        return cls(device=torch.device("cuda") if torch.cuda.is_available() else _CPU)

    @classmethod
    @contextmanager
    def joined(cls) -> Iterator[Peers]:
        """A member of the group that ``torchrun`` says there is; alone without it."""
        if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
            yield cls.alone()
            return
        on_gpu, local = torch.cuda.is_available(), int(os.environ.get("LOCAL_RANK", "0"))
        if on_gpu and local >= torch.cuda.device_count():
            raise ConfigError(
                f"process {local} of this machine has no GPU of its own: there are "
                f"{torch.cuda.device_count()}",
                hint="a smaller --nproc-per-node, or CUDA_VISIBLE_DEVICES= to train on the CPU",
            )
        device = torch.device("cuda", local) if on_gpu else _CPU
        if on_gpu:
            torch.cuda.set_device(device)
        # One prepares while the others wait; who dies is noticed by torchrun.
        dist.init_process_group("nccl" if on_gpu else "gloo", timeout=_PATIENCE)
        try:
            yield cls(dist.get_rank(), dist.get_world_size(), device)
        finally:
            dist.destroy_process_group()

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def precision_of(self, asked: str, form: CropFormat) -> str:
        """What all of them train in on such crops; ``auto`` is what the leader's device is fastest
        in and right.

        Raises:
            ModelError: bfloat16 was asked for, and the device computes it wrongly.
        """
        return self.agree(lambda: self._precision(asked, form.height_px, form.width_px))

    def _precision(self, asked: str, height_px: int, width_px: int) -> str:
        if asked == "float32" or (asked == "auto" and not self._has_bfloat16):
            return "float32"
        if bfloat16_is_right(height_px, width_px, self.device):
            return "bfloat16"
        what = (
            f"torch {torch.__version__} computes bfloat16 wrongly on this machine's "
            f"{self.device.type} for crops of {height_px} x {width_px}"
        )
        if asked == "bfloat16":
            raise ModelError(what, hint="--precision float32")
        logger.warning("%s; training in float32", what)
        return "float32"

    @property
    def _has_bfloat16(self) -> bool:
        """Whether the device has instructions for it."""
        if self.device.type == "cuda":
            # torch calls supported what older ones emulate, slowly.
            return torch.cuda.get_device_capability(self.device) >= (8, 0)
        has_it = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # torch has no public name
        return has_it is not None and bool(has_it())

    def shared(self, network: nn.Module) -> nn.Module:
        """The network as it is trained: gradients are averaged over all processes."""
        if self.size == 1:
            return network
        with warnings.catch_warnings():
            # The name that newer versions of torch want is unknown to older ones.
            warnings.simplefilter("ignore", FutureWarning)
            # Each process's normalisation sees its own parts; see ``average``.
            return DistributedDataParallel(network, broadcast_buffers=False)

    def agree(self, of_leader: Callable[[], T]) -> T:
        """What the leader finds, everywhere; what it raises is raised everywhere."""
        if self.size == 1:
            return of_leader()
        box: list[Any] = [None, None]
        if self.leads:
            try:
                box[0] = of_leader()
            except Exception as error:
                box[1] = error
        dist.broadcast_object_list(box, 0, device=self.device)
        if box[1] is not None:
            raise box[1]
        found: T = box[0]
        return found

    def each(self, own: Callable[[], T]) -> T:
        """What each finds for itself; what one of them raises is raised everywhere."""
        if self.size == 1:
            return own()
        faults: list[Any] = [None] * self.size
        fault = None
        try:
            found = own()
        except Exception as error:
            fault = error
        dist.all_gather_object(faults, fault)
        for fault in faults:
            if fault is not None:
                raise fault
        return found

    @contextmanager
    def agree_on(self, of_leader: AbstractContextManager[None]) -> Iterator[None]:
        """Enters what the leader alone needs; where it cannot, nobody goes on."""
        with ExitStack() as stack:
            self.agree(lambda: stack.enter_context(of_leader))
            yield

    def any(self, here: bool) -> bool:
        """Whether it is so in one of them."""
        if self.size == 1:
            return here
        flag = torch.tensor(float(here), device=self.device)
        dist.all_reduce(flag, dist.ReduceOp.MAX)
        return bool(flag)

    def gather(self, own: torch.Tensor, sizes: Sequence[int]) -> list[torch.Tensor]:
        """Everybody's rows (n, D), in order of rank; ``sizes`` are the n. Only one's own carry a
        gradient."""
        if self.size == 1:
            return [own]
        padded = F.pad(own.detach(), (0, 0, 0, max(sizes) - len(own))).contiguous()
        found = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(found, padded)
        return [
            own if rank == self.rank else rows[:n]
            for rank, (rows, n) in enumerate(zip(found, sizes, strict=True))
        ]

    def average(self, tensors: Iterable[torch.Tensor], weight: float) -> None:
        """Puts the mean over all processes, whose weights sum to 1, into each tensor of floats."""
        for tensor in tensors if self.size > 1 else ():
            if tensor.is_floating_point():
                tensor *= weight
                dist.all_reduce(tensor, dist.ReduceOp.SUM)
