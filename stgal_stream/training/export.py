"""torch -> ONNX with everything that the daemon needs to know, proven equal. Needs ``train``."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from stgal_stream.errors import ModelError
from stgal_stream.extractor.crops import CropFormat
from stgal_stream.extractor.onnx import OnnxExtractor, variant_path
from stgal_stream.training.network import IMAGENET_MEAN, IMAGENET_STD, ResNet50

_OPSET = 17
_MIN_QUANTISED = 4096


def imagenet_format(height_px: int, width_px: int) -> CropFormat:
    """Crops of a size, normalised as nearly all published weights want them."""
    return CropFormat(height_px, width_px, IMAGENET_MEAN, IMAGENET_STD)


@dataclass(frozen=True, slots=True)
class Parity:
    """How far ONNX is from torch on random crops: the largest difference of a feature, and the
    least cosine likeness of two features of one crop."""

    max_difference: float
    min_cosine: float


def export(
    network: ResNet50,
    path: Path,
    form: CropFormat,
    *,
    version: str,
    unit_length: bool = False,
    eight_bit: bool = False,
    parent: str = "",
) -> Parity:
    """Writes the model for crops of a format and proves it against torch. ``parent`` is the version
    that it was trained from.

    Raises:
        ModelError: the file cannot be written, or differs from torch.
    """
    network.eval()
    sample = torch.zeros(2, 3, form.height_px, form.width_px)
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        traced = Path(scratch) / "model.onnx"
        warnings.simplefilter("ignore")  # torch's own deprecation of the exporter it still ships
        torch.onnx.export(
            network,
            (sample,),
            traced,
            input_names=["crops"],
            output_names=["features"],
            dynamic_axes={"crops": {0: "n"}, "features": {0: "n"}},
            opset_version=_OPSET,
            dynamo=False,
        )
        model = onnx.load(traced)
    if eight_bit:
        quantise_weights(model)
    about = {
        "stgal.version": version,
        "stgal.height": str(form.height_px),
        "stgal.width": str(form.width_px),
        "stgal.mean": ",".join(map(str, form.mean)),
        "stgal.std": ",".join(map(str, form.std)),
        "stgal.normalize": "l2" if unit_length else "none",
        "stgal.weights": "int8" if eight_bit else "float32",
        "stgal.last_stride": str(network.last_stride),
        **({"stgal.parent": parent} if parent else {}),
    }
    helper.set_model_props(model, about)
    onnx.checker.check_model(model)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(path.suffix + ".tmp")
        temporary.write_bytes(model.SerializeToString())
        temporary.replace(path)
        variant_path(path).unlink(missing_ok=True)  # of what was there before
    except OSError as error:
        raise ModelError(f"{path} cannot be written: {error}") from error
    parity = compare(network, OnnxExtractor(path, providers=("CPUExecutionProvider",)), unit_length)
    least = 0.99 if eight_bit else 0.99999
    if parity.min_cosine < least:
        raise ModelError(f"{path} differs from torch: cosine {parity.min_cosine:.6f} < {least}")
    return parity


def stamp(path: Path, about: Mapping[str, str]) -> None:
    """Writes more into a model's metadata."""
    model = onnx.load(path)
    known = {entry.key: entry.value for entry in model.metadata_props}
    helper.set_model_props(model, {**known, **about})
    path.write_bytes(model.SerializeToString())


def compare(network: ResNet50, extractor: OnnxExtractor, unit_length: bool) -> Parity:
    """torch and ONNX on the same random crops."""
    rng = np.random.default_rng(1)
    shape = (8, 3, extractor.form.height_px, extractor.form.width_px)
    crops = rng.normal(size=shape).astype(np.float32)
    with torch.no_grad():
        wanted = network(torch.from_numpy(crops)).numpy()
    if unit_length:
        wanted = wanted / np.linalg.norm(wanted, axis=1, keepdims=True)
    given = extractor.run_normalised(crops)
    lengths = np.linalg.norm(wanted, axis=1) * np.linalg.norm(given, axis=1)
    cosine = (wanted * given).sum(axis=1) / np.maximum(lengths, 1e-12)
    return Parity(float(np.abs(wanted - given).max()), float(cosine.min()))


def quantise_weights(model: onnx.ModelProto) -> None:
    """Stores each large weight as int8 with one scale for an output channel, followed by a
    DequantizeLinear: a quarter of the size, and floats again once loaded."""
    graph = model.graph
    nodes, kept = [], []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size < _MIN_QUANTISED or values.ndim < 2:
            kept.append(tensor)
            continue
        packed, scales = _quantise(values)
        name = tensor.name
        kept += [
            numpy_helper.from_array(packed, f"{name}.int8"),
            numpy_helper.from_array(scales, f"{name}.scale"),
            numpy_helper.from_array(np.zeros(len(scales), np.int8), f"{name}.zero"),
        ]
        inputs = [f"{name}.int8", f"{name}.scale", f"{name}.zero"]
        nodes.append(helper.make_node("DequantizeLinear", inputs, [name], axis=0))
    del graph.initializer[:]
    graph.initializer.extend(kept)
    old = list(graph.node)
    del graph.node[:]
    graph.node.extend(nodes + old)


def _quantise(values: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    flat = values.reshape(len(values), -1)
    scales = np.maximum(np.abs(flat).max(axis=1), 1e-12).astype(np.float32) / 127.0
    packed = np.clip(np.rint(flat / scales[:, None]), -127, 127).astype(np.int8)
    return packed.reshape(values.shape), scales
