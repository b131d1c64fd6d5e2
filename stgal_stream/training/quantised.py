"""An 8-bit variant of an extractor, for CPUs: weights and activations of its convolutions as
integers, calibrated on crops. Needs ``train``.

The variant lies beside its model and answers to its name: whoever loads the model on a CPU gets it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quant_pre_process,
    quantize_static,
)

from stgal_stream.errors import ModelError
from stgal_stream.extractor.crops import CropFormat
from stgal_stream.extractor.onnx import VARIANT_OF, OnnxExtractor
from stgal_stream.extractor.releases import sha256_of
from stgal_stream.training.from_onnx import tensors_of

_BATCH = 16


def quantise(extractor: OnnxExtractor, crops: NDArray[np.uint8], path: Path) -> None:
    """Writes the variant of an extractor to ``path``, calibrated on ``crops`` (N, H, W, 3), N >= 1;
    some two hundred do. Ranges are the smallest and largest value seen (one for a layer's
    activations, one for each output channel of its weights); weights take 7 of the 8 bits, so that
    processors that add up products in 16 bits do not saturate.

    Raises:
        ModelError: onnxruntime cannot quantise it, or the variant cannot be written.
    """
    reader = _Reader(extractor.input_name, extractor.form, crops)
    model = onnx.load(extractor.path)
    about = {p.key: p.value for p in model.metadata_props}
    about["stgal.weights"] = "int8"
    about[VARIANT_OF] = sha256_of(extractor.path)
    _unpack_weights(model)
    with tempfile.TemporaryDirectory() as scratch:
        floats, prepared = (Path(scratch) / name for name in ("floats.onnx", "prepared.onnx"))
        try:
            onnx.save(model, floats)
            quant_pre_process(str(floats), str(prepared), skip_symbolic_shape=True)
            quantize_static(
                str(prepared),
                str(path),
                reader,
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
            variant = onnx.load(path)
            helper.set_model_props(variant, about)
            onnx.save(variant, path)
        except Exception as error:  # onnxruntime and onnx raise many types of their own
            raise ModelError(f"{extractor.path} cannot be quantised: {error}") from error


def _unpack_weights(model: onnx.ModelProto) -> None:
    """Weights that are stored in 8 bits become floats: else they would be taken as they are."""
    graph, floats = model.graph, tensors_of(model)
    for node in list(graph.node):
        if node.op_type == "DequantizeLinear" and node.output[0] in floats:
            name = node.output[0]
            graph.initializer.append(numpy_helper.from_array(floats[name], name))
            graph.node.remove(node)


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Hands out normalised crops, some at a time."""

    def __init__(self, name: str, form: CropFormat, crops: NDArray[np.uint8]) -> None:
        self._batches: Iterator[dict[str, NDArray[np.float32]]] = iter(
            {name: form.normalise(crops[at : at + _BATCH])} for at in range(0, len(crops), _BATCH)
        )

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._batches, None)
