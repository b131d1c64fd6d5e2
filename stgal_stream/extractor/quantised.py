"""An 8-bit variant of an extractor, for CPUs: weights and activations of its convolutions as
integers, calibrated on crops. Needs ``train``.

The variant lies beside its model and answers to its name: whoever loads the model on a CPU gets it.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quant_pre_process,
    quantize_static,
)

from stgal_stream.errors import ModelError
from stgal_stream.extractor.crops import CropFormat
from stgal_stream.extractor.onnx import VARIANT_OF, OnnxExtractor, variant_path

_N_CROPS = 192
_BATCH = 16


def quantise(extractor: OnnxExtractor, crops: NDArray[np.uint8]) -> Path:
    """Writes the variant of an extractor, calibrated on some of ``crops`` (N, H, W, 3), N >= 1;
    its path. Ranges are the smallest and largest value seen (one for a layer's activations, one
    for each output channel of its weights); weights take 7 of the 8 bits, so that processors that
    add up products in 16 bits do not saturate.

    Raises:
        ModelError: onnxruntime cannot quantise it.
    """
    chosen = np.random.default_rng(0).permutation(len(crops))[:_N_CROPS]
    reader = _Reader(extractor.input_name, extractor.form, crops[np.sort(chosen)])
    path = variant_path(extractor.path)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-") as scratch:
        made = Path(scratch) / path.name
        try:
            _quantise(extractor.path, Path(scratch) / "prepared.onnx", made, reader)
        except Exception as error:  # onnxruntime and onnx raise many types of their own
            raise ModelError(f"{extractor.path} cannot be quantised: {error}") from error
        made.replace(path)
    return path


def _quantise(model: Path, prepared: Path, made: Path, reader: _Reader) -> None:
    quant_pre_process(str(model), str(prepared), skip_symbolic_shape=True)
    quantize_static(
        str(prepared),
        str(made),
        reader,
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    about = {p.key: p.value for p in onnx.load(model).metadata_props}
    about["stgal.weights"] = "int8"
    about[VARIANT_OF] = hashlib.sha256(model.read_bytes()).hexdigest()
    variant = onnx.load(made)
    helper.set_model_props(variant, about)
    onnx.save(variant, made)


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Hands out normalised crops, some at a time."""

    def __init__(self, name: str, form: CropFormat, crops: NDArray[np.uint8]) -> None:
        self._batches: Iterator[dict[str, NDArray[np.float32]]] = iter(
            {name: form.normalise(crops[at : at + _BATCH])} for at in range(0, len(crops), _BATCH)
        )

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._batches, None)
