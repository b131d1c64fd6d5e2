"""How a model wants its crops: presets of the common zoos, and what a graph tells by itself.

Few models say what they want. What the graph shows is certain (a subtraction of ImageNet's means
before the first convolution); names of inputs and weights are how the zoos' own exports look. Where
neither tells, somebody has to say it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stgal_stream.errors import ModelError
from stgal_stream.extractor.crops import CropFormat
from stgal_stream.extractor.model_files import graph_of
from stgal_stream.extractor.signature import Signature
from stgal_stream.settings import PRESETS

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_BYTES = (1 / 255,) * 3  # pixels stay 0 to 255
_ZERO = (0.0,) * 3
_HALF = (0.5,) * 3
_SIZE = (256, 128)  # height and width of most person re-ID models
_PASSED = ("Cast", "Transpose", "Identity", "QuantizeLinear", "DequantizeLinear")
_ARITHMETIC = ("Sub", "Add", "Div", "Mul")
_Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Preset:
    """One zoo's preprocessing, and where that is written."""

    mean: _Triple
    std: _Triple
    colour: str = "rgb"
    interpolation: str = "bilinear"
    size: tuple[int, int] = _SIZE


# By the names in ``settings.PRESETS``. Sources: torchreid's FeatureExtractor and BoxMOT; FastReID's
# tools/deploy; Open Model Zoo's person-reidentification-retail; TAO's re_identification transforms;
# TransReID, CLIP-ReID (ViT) and SOLIDER configurations; deep_sort's generate_detections.
BY_NAME = {
    "imagenet": Preset(_IMAGENET_MEAN, _IMAGENET_STD),
    "fastreid": Preset(_ZERO, _BYTES, interpolation="bicubic"),
    "openvino": Preset(_ZERO, _BYTES, colour="bgr"),
    "tao": Preset(_IMAGENET_MEAN, (0.226,) * 3),
    "half": Preset(_HALF, _HALF),
    "deepsort": Preset(_ZERO, _BYTES, colour="bgr", size=(128, 64)),
    "raw": Preset(_ZERO, _BYTES),
    "unit": Preset(_ZERO, (1.0,) * 3),
}


@dataclass(frozen=True, slots=True)
class Decision:
    """The preprocessing of a model, and in words why."""

    form: CropFormat
    preset: str
    why: tuple[str, ...]


def decide(
    path: Path, signature: Signature, preset: str = "", size: tuple[int, int] | None = None
) -> Decision:
    """The preprocessing as ``preset`` says, else as the model shows.

    Raises:
        ModelError: neither tells, or ``size`` is not the model's.
    """
    why: list[str] = []
    if preset:
        why.append(f"preset {preset}, as you say")
    else:
        preset, reason = _recognised(path, signature)
        why.append(f"preset {preset}: {reason}")
    found = BY_NAME[preset]
    height, width = _size(path, signature, size, found, why)
    form = CropFormat(height, width, found.mean, found.std, found.colour, found.interpolation)
    return Decision(form, preset, tuple(why))


def _size(
    path: Path,
    signature: Signature,
    asked: tuple[int, int] | None,
    preset: Preset,
    why: list[str],
) -> tuple[int, int]:
    given = signature.size
    if asked is not None:
        if any(own not in (None, wanted) for own, wanted in zip(given, asked, strict=True)):
            raise ModelError(f"{path} takes crops of {given[0]} x {given[1]}, not {asked}")
        return asked
    height, width = given
    if height is None or width is None:
        height, width = preset.size
        why.append(f"crops of {height} x {width}: the model takes any size, most use this one")
    return height, width


def _recognised(path: Path, signature: Signature) -> tuple[str, str]:
    """The preset that a model shows to be its own, and how."""
    graph = graph_of(path).graph
    steps = list(_first_steps(graph, signature.image.name))
    found = _by_first_steps(steps) or _by_names(graph, signature)
    if found is None:
        raise ModelError(
            f"{path} does not say how its crops are to be scaled",
            hint=f"--preset {'|'.join(PRESETS)}, as its training had it; stgal-stream adopt",
        )
    return found


def _by_first_steps(steps: list[tuple[str, Any]]) -> tuple[str, str] | None:
    """By what the graph does to the picture before anything else."""
    for operation, constant in steps:
        if operation == "InstanceNormalization":
            return "raw", "it normalises each crop itself, so that no scale matters; RGB assumed"
        if constant is None:
            continue
        means = np.abs(np.asarray(constant, dtype=float).reshape(-1))
        if operation in ("Sub", "Add"):
            return _by_means(means)
        if operation == "Div" and abs(means.max() - 255) < 1:
            return "raw", "it divides by 255 itself; RGB assumed"
    return None


def _by_means(means: Any) -> tuple[str, str] | None:
    if means.max() <= 1:
        return "unit", "it subtracts means of pixels between 0 and 1 itself; RGB assumed"
    if len(means) == 3 and means[0] < means[2] - 5:
        return "openvino", "it subtracts means of 0 to 255 itself, blue's first: BGR"
    return "fastreid", "it subtracts means of 0 to 255 itself, as FastReID's exports do: RGB"


def _by_names(graph: Any, signature: Signature) -> tuple[str, str] | None:
    """By how the zoos' own exports name their parts."""
    weights = " ".join(tensor.name for tensor in graph.initializer)
    image, output = signature.image.name, signature.output.name
    if signature.image.type is np.uint8:
        preset = "deepsort" if image.startswith("images") and output.startswith("feat") else "raw"
        return preset, "it takes bytes"
    if output == "reid_embedding" or image == "data":
        return "openvino", f"its ports are {image} and {output}, as in Open Model Zoo: BGR"
    if output == "fc_pred":
        return "tao", f"its ports are {image} and {output}, as in NVIDIA TAO"
    if re.search(r"image_encoder|cv_embed", weights):
        return "half", "its weights are named as in CLIP-ReID (a ViT)"
    if re.search(r"(^| |\.)(base\.)?(blocks|layers)\.\d+\.(attn|blocks)", weights):
        return "half", "its weights are named as in TransReID or SOLIDER"
    if re.search(r"(^| |\.)conv2a\.", weights):
        return "imagenet", "its weights are named as in OSNet (torchreid)"
    if (image, output) == ("images", "output") or (image == "images" and output == "output0"):
        return "imagenet", f"its ports are {image} and {output}, as torchreid and BoxMOT export"
    return None


def _first_steps(graph: Any, name: str) -> Iterator[tuple[str, Any]]:
    """What is done to the picture before the first layer: operation and constant."""
    constants = _constants(graph)
    for _ in range(len(graph.node)):
        node = next((node for node in graph.node if name in node.input), None)
        if node is None:
            return
        others = [constants.get(other) for other in node.input if other != name]
        constant = others[0] if others else None
        if node.op_type not in _PASSED:
            yield node.op_type, constant
            if node.op_type not in _ARITHMETIC or constant is None:
                return
        name = node.output[0]


def _constants(graph: Any) -> dict[str, Any]:
    """Small constants by name, whichever way they are written."""
    from onnx import numpy_helper

    found = {}
    for tensor in graph.initializer:
        if not tensor.external_data and int(np.prod(tensor.dims or [1])) <= 3:
            found[tensor.name] = numpy_helper.to_array(tensor)
    for node in graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value" and int(np.prod(attribute.t.dims or [1])) <= 3:
                    found[node.output[0]] = numpy_helper.to_array(attribute.t)
        elif node.op_type == "Identity" and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
    return found
