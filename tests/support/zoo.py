"""Models as the zoos export them, with random weights: small networks under the zoos' own port
names, preprocessing, batch, types and outputs. Beside each what its own framework computes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from PIL import Image
from torch import nn

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Triple = tuple[float, float, float]


class Network(nn.Module):
    """A few layers that feel colours, scale and place."""

    def __init__(self, dim: int = 32, conv_name: str = "conv") -> None:
        super().__init__()
        torch.manual_seed(dim)
        block = nn.Module()
        block.add_module("conv", nn.Conv2d(3, 8, 5, stride=4))
        self.conv_name = conv_name
        self.add_module(conv_name, block)
        self.head = nn.Linear(8 * 6, dim)

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        block: Any = getattr(self, self.conv_name)
        planes = torch.tanh(block.conv(crops))
        rows = nn.functional.interpolate(planes, size=(12, 4)).mean(dim=3)
        pooled = rows.reshape(-1, 8, 6, 2).mean(dim=3)
        found: torch.Tensor = self.head(pooled.flatten(1))
        return found


class Wrapped(nn.Module):
    """A network with something before or after it."""

    def __init__(
        self, network: nn.Module, forward: Callable[..., Any], name: str = "network"
    ) -> None:
        super().__init__()
        self.name = name
        self.add_module(name, network)
        self.cameras = nn.Parameter(torch.randn(4, 32))
        self._forward = forward

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self._forward(self, getattr(self, self.name), *inputs)


@dataclass
class Zoo:
    """How a zoo exports, and what its framework does to a picture before the network."""

    module: nn.Module
    inputs: list[str]
    outputs: list[str]
    mean: Triple = IMAGENET[0]
    std: Triple = IMAGENET[1]
    top: float = 1.0
    colour: str = "rgb"
    interpolation: int = Image.Resampling.BILINEAR
    size: tuple[int, int] = (64, 32)
    is_dynamic: bool = True
    is_half: bool = False
    extra: list[torch.Tensor] = field(default_factory=list)
    feature: Callable[[Any], torch.Tensor] = lambda out: out
    free_size: bool = False

    def export(self, path: Path) -> Path:
        module = self.module.half() if self.is_half else self.module
        crops = torch.zeros(1, 3, *self.size)
        axes: dict[str, dict[int, str]] = {}
        if self.is_dynamic:
            axes = {name: {0: "batch"} for name in (*self.inputs, *self.outputs)}
        if self.free_size:
            axes[self.inputs[0]] |= {2: "h", 3: "w"}
        given = (crops.half() if self.is_half else crops, *self.extra)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module.eval(), given, str(path), input_names=self.inputs,
                output_names=self.outputs, dynamic_axes=axes, dynamo=False, opset_version=17,
            )  # fmt: skip
        return path

    def features(self, picture: Image.Image) -> NDArray[np.float32]:
        """What the framework itself computes, of unit length."""
        height, width = self.size
        resized = picture.resize((width, height), self.interpolation)
        pixels = torch.from_numpy(np.asarray(resized).astype(np.float32)) / 255 * self.top
        if self.colour == "bgr":
            pixels = pixels.flip(-1)
        pixels = (pixels - torch.tensor(self.mean)) / torch.tensor(self.std)
        crops = pixels.permute(2, 0, 1)[None]
        with torch.no_grad():
            out = self.module.eval()(crops.half() if self.is_half else crops, *self.extra)
            found = self.feature(out).float().flatten(1)
        unit = nn.functional.normalize(found, dim=1)
        return np.asarray(unit[0].numpy(), dtype=np.float32)


BYTES: dict[str, Any] = {"mean": (0.0,) * 3, "std": (1.0,) * 3, "top": 255.0}
HALF: dict[str, Any] = {"mean": (0.5,) * 3, "std": (0.5,) * 3}


def _fastreid(self: Any, network: Any, crops: torch.Tensor) -> Any:
    mean = torch.tensor([123.675, 116.28, 103.53]).reshape(1, 3, 1, 1)
    std = torch.tensor([58.395, 57.12, 57.375]).reshape(1, 3, 1, 1)
    return network((crops - mean) / std)


def _fed(scale: float) -> Callable[..., Any]:
    return lambda self, network, crops: network(crops / scale)


def _with_cameras(self: Any, network: Any, crops: torch.Tensor, cameras: torch.Tensor) -> Any:
    return network(crops) + self.cameras[cameras]


def _with_maps(self: Any, network: Any, crops: torch.Tensor) -> Any:
    return network(crops), crops[:, :, ::8, ::8]


def _with_logits(self: Any, network: Any, crops: torch.Tensor) -> Any:
    found = network(crops)
    return found @ self.cameras.T @ torch.ones(4, 751), found


def zoos() -> dict[str, Zoo]:
    """By the name of the zoo."""
    return {
        "osnet": Zoo(Network(conv_name="conv2a"), ["input"], ["output"]),
        "boxmot": Zoo(Network(), ["images"], ["output"]),
        "boxmot half": Zoo(Network(), ["images"], ["output0"], is_half=True),
        "fastreid": Zoo(
            Wrapped(Network(), _fastreid), ["batched_inputs.1"], ["select"], is_dynamic=False,
            interpolation=Image.Resampling.BICUBIC, **BYTES,
        ),
        "openvino": Zoo(
            Wrapped(Network(), _fed(64.0)), ["data"], ["reid_embedding"], colour="bgr",
            is_dynamic=False, **BYTES,
        ),
        "openvino descriptor": Zoo(
            Wrapped(Network(), lambda s, n, crops: n(crops / 64.0)[:, :, None, None]),
            ["data"], ["descriptor"], colour="bgr", **BYTES,
        ),
        "tao": Zoo(Network(), ["input"], ["fc_pred"], std=(0.226,) * 3),
        "transreid": Zoo(
            Wrapped(Network(conv_name="attn"), _with_cameras, "base_blocks"),
            ["img", "cam_label"], ["features"], extra=[torch.zeros(1, dtype=torch.int64)], **HALF,
        ),
        "solider": Zoo(
            Wrapped(Network(), _with_maps), ["images"], ["output0", "output1"],
            feature=lambda out: out[0],
        ),
        "features and logits": Zoo(
            Wrapped(Network(), _with_logits), ["images"], ["logits", "output"],
            feature=lambda out: out[1],
        ),
        "any size": Zoo(Network(), ["images"], ["output"], size=(256, 128), free_size=True),
    }  # fmt: skip


def bytes_model(path: Path) -> Path:
    """DeepSORT's mars-small128: (N, 128, 64, 3) uint8 in, BGR."""
    weight = np.random.default_rng(1).normal(size=(3, 16)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["images:0"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats"], ["colours"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["colours", "weight"], ["features:0"]),
    ]
    graph = helper.make_graph(
        nodes, "mars",
        [helper.make_tensor_value_info("images:0", TensorProto.UINT8, ["n", 128, 64, 3])],
        [helper.make_tensor_value_info("features:0", TensorProto.FLOAT, ["n", 16])],
        [onnx.numpy_helper.from_array(weight, "weight")],
    )  # fmt: skip
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path
    )
    return path
