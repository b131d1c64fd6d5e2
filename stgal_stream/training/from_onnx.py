"""A ResNet-50 out of its own ONNX export, so that training starts where the daemon is. Needs
``train``.

The export has folded batch normalisation into the convolutions; what comes back computes the same,
its normalisation layers being plain scales and shifts (mean 0, variance 1) until ``normalise_by``
gives them the statistics of some crops.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import nn

from stgal_stream.errors import ModelError
from stgal_stream.training.network import ResNet50


def network_of(path: Path) -> ResNet50:
    """The network in a file that ``stgal-stream export`` wrote.

    Raises:
        ModelError: it is no such file.
    """
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's own types
        raise ModelError(f"{path} cannot be read as ONNX: {error}") from error
    meta = {entry.key: entry.value for entry in model.metadata_props}
    stride = meta.get("stgal.last_stride", "1")
    if stride not in ("1", "2"):
        raise ModelError(f"{path} has a last stride of {stride!r}: no ResNet-50's")
    network = ResNet50(last_stride=int(stride))
    tensors = tensors_of(model)
    convolutions = {
        node.name: [tensors[name] for name in node.input[1:]]
        for node in model.graph.node
        if node.op_type == "Conv" and all(name in tensors for name in node.input[1:])
    }
    for name, module in network.net.named_modules():
        if isinstance(module, nn.Conv2d):
            found = convolutions.get(_node_of(name))
            if found is None or len(found) != 2 or found[0].shape != tuple(module.weight.shape):
                raise ModelError(
                    f"{path} holds no {name} of a ResNet-50",
                    hint="train from a model that stgal-stream export wrote, or from a .pth",
                )
            _fill(network, name, module, *found)
    return network.eval()


def tensors_of(model: onnx.ModelProto) -> dict[str, NDArray[np.float32]]:
    """Weights by name, those of 8 bits as floats again."""
    tensors = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in tensors:
            packed, scales = tensors[node.input[0]], tensors[node.input[1]]
            shape = (-1,) + (1,) * (packed.ndim - 1)
            tensors[node.output[0]] = packed.astype(np.float32) * scales.reshape(shape)
    return tensors


def _node_of(name: str) -> str:
    """The graph's name of a module: ``layer1.0.conv1`` -> ``/net/layer1/layer1.0/conv1/Conv``."""
    parts = name.split(".")
    if len(parts) == 1:
        return f"/net/{name}/Conv"
    place = f"/net/{parts[0]}/{parts[0]}.{parts[1]}"
    last = parts[2] if len(parts) == 3 else f"{parts[2]}/{parts[2]}.{parts[3]}"
    return f"{place}/{last}/Conv"


def _fill(
    network: ResNet50,
    name: str,
    module: nn.Conv2d,
    weight: NDArray[np.float32],
    bias: NDArray[np.float32],
) -> None:
    norm_name = name[:-1] + "1" if name.endswith("downsample.0") else name.replace("conv", "bn")
    norm = network.net.get_submodule(norm_name)
    assert isinstance(norm, nn.BatchNorm2d)
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(weight.copy()))
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.zero_()
        norm.running_var.fill_(1.0 - norm.eps)
        norm.weight.fill_(1.0)
        norm.bias.copy_(torch.from_numpy(bias.copy()))


@torch.no_grad()
def normalise_by(network: ResNet50, images: torch.Tensor) -> None:
    """Gives the normalisation layers the statistics of ``images`` (N, 3, H, W) without changing
    what the network computes, so that it can be trained with a batch's own statistics."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    seen: dict[nn.Module, tuple[torch.Tensor, torch.Tensor]] = {}

    def note(norm: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        seen[norm] = torch.var_mean(given[0], dim=(0, 2, 3), correction=0)

    hooks = [norm.register_forward_pre_hook(note) for norm in norms]
    network.eval()(images)
    for hook in hooks:
        hook.remove()
    for norm in norms:
        variance, mean = seen[norm]
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        norm.bias.add_((mean - norm.running_mean) * scale)
        norm.weight.copy_(scale * torch.sqrt(variance + norm.eps))
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
