"""Whether a device's bfloat16 convolutions can be believed.

Some versions of torch give garbage for single shapes of them on some CPUs, without a word
(pytorch issues 163347 and 169688; in 2.15 a stride of 2 onto a width of 1). So each convolution of
the network is tried at the size of the crops, there and back, beside float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import nn

from stgal_stream.training.network import ResNet50

_N = 8  # crops: what is wrong does not depend on how many
_TRIES = 3  # memory that was never written to may hold the right numbers by chance
_ROUNDING = 0.05  # bfloat16 has 8 bits: a sum of products is right to about .003


@lru_cache(maxsize=8)
def bfloat16_is_right(height_px: int, width_px: int, device: torch.device) -> bool:
    """Whether every convolution of our network on such crops gives in bfloat16 what it gives in
    float32, forward and backward."""
    return all(
        _worst(layer, shape, device) < _ROUNDING
        for layer, shape in _convolutions(height_px, width_px)
    )


def _convolutions(height_px: int, width_px: int) -> Iterator[tuple[nn.Conv2d, torch.Size]]:
    """Each kind of convolution once, with the shape of what it is given."""
    with torch.device("meta"):
        network = ResNet50().to("meta").eval()
        seen: dict[str, tuple[nn.Conv2d, torch.Size]] = {}

        def note(layer: nn.Module, given: tuple[torch.Tensor, ...], made: torch.Tensor) -> None:
            assert isinstance(layer, nn.Conv2d)
            seen[f"{layer} {given[0].shape}"] = layer, given[0].shape

        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                layer.register_forward_hook(note)
        network(torch.zeros(_N, 3, height_px, width_px))
    yield from seen.values()


def _worst(layer: nn.Conv2d, shape: torch.Size, device: torch.device) -> float:
    """The largest relative error of output, gradient and weights' gradient; infinite for no
    number."""
    random = torch.Generator().manual_seed(0)
    images = torch.randn(shape, generator=random).to(device, memory_format=torch.channels_last)
    weights = torch.randn(layer.weight.shape, generator=random)
    weights = weights.to(device, memory_format=torch.channels_last)
    right = _there_and_back(layer, images, weights)
    worst = 0.0
    for _ in range(_TRIES):
        with torch.autocast(device.type, torch.bfloat16):
            found = _there_and_back(layer, images, weights)
        for a, b in zip(found, right, strict=True):
            error = float((a - b).norm() / b.norm())
            worst = max(worst, error if error == error else float("inf"))
    return worst


def _there_and_back(
    layer: nn.Conv2d, images: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    images, weights = images.detach().requires_grad_(), weights.detach().requires_grad_()
    made = torch.conv2d(images, weights, None, layer.stride, layer.padding)
    back, weight = torch.autograd.grad(made.float().square().sum() / 2, (images, weights))
    return made.detach().float(), back.float(), weight.float()
