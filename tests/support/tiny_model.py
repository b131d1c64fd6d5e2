"""An extractor of a few lines, for tests that need many or broken ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

META = {
    "stgal.version": "tiny",
    "stgal.height": "16",
    "stgal.width": "8",
    "stgal.mean": "0.5,0.5,0.5",
    "stgal.std": "0.25,0.25,0.25",
}


def tiny(
    path: Path,
    *,
    node: str = "",
    meta: dict[str, str] | None = None,
    batch: object = "n",
    version: str = "tiny",
    dim: int = 6,
    size: tuple[int, int] = (16, 8),
) -> Path:
    """crops -> (N, dim): the mean colours of eight fields, by a matrix; ``node`` spoils it."""
    weight = np.random.default_rng(dim).normal(size=(24, dim)).astype(np.float32)
    if node == "nan":
        weight[0, 0] = np.nan
    fields = [size[0] // 4, size[1] // 2]
    nodes = [
        helper.make_node("AveragePool", ["crops"], ["pooled"], kernel_shape=fields, strides=fields),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["raw"]),
    ]
    constants = [numpy_helper.from_array(weight, "weight")]
    if node == "batch":
        constants.append(numpy_helper.from_array(np.array([0], np.int64), "axes"))
        nodes.append(helper.make_node("ReduceMean", ["raw", "axes"], ["mean"], keepdims=1))
        nodes.append(helper.make_node("Sub", ["raw", "mean"], ["features"]))
    elif node == "rounding":  # all crops are nearly alike to it, and a batch moves them a little
        for name, value in (("one", 1.0), ("small", 1e-3), ("tiny", 1e-4)):
            constants.append(numpy_helper.from_array(np.array(value, np.float32), name))
        constants.append(numpy_helper.from_array(np.array([0], np.int64), "axes"))
        for operation, ends, result in (
            ("ReduceMean", ("raw", "axes"), "mean"),
            ("Mul", ("raw", "small"), "own"),
            ("Mul", ("mean", "tiny"), "shared"),
            ("Add", ("own", "one"), "shifted"),
            ("Add", ("shifted", "shared"), "features"),
        ):
            nodes.append(helper.make_node(operation, ends, [result]))
    elif node == "endless":  # as many rounds as there are numbers
        rounds = numpy_helper.from_array(np.array(2**62, np.int64), "rounds")
        going = numpy_helper.from_array(np.array(True), "going")
        constants += [rounds, going]
        nodes.append(
            helper.make_node("Loop", ["rounds", "going", "raw"], ["features"], body=_round())
        )
    elif node == "hungry":  # 64 GiB of zeros, and their largest
        constants.append(numpy_helper.from_array(np.array([2**34], np.int64), "many"))
        nodes.append(helper.make_node("ConstantOfShape", ["many"], ["zeros"]))
        nodes.append(helper.make_node("ReduceMax", ["zeros"], ["zero"], keepdims=0))
        nodes.append(helper.make_node("Add", ["raw", "zero"], ["features"]))
    else:
        nodes.append(helper.make_node("Identity", ["raw"], ["features"]))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("crops", TensorProto.FLOAT, [batch, 3, *size])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [batch, dim])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    sizes = {"stgal.height": str(size[0]), "stgal.width": str(size[1])}
    named = {**META, **sizes, "stgal.version": version}
    helper.set_model_props(model, named if meta is None else meta)
    onnx.save(model, path)
    return path


def _round() -> onnx.GraphProto:
    """The body of a loop that changes nothing."""
    inputs = [
        helper.make_tensor_value_info("i", TensorProto.INT64, []),
        helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        helper.make_tensor_value_info("before", TensorProto.FLOAT, None),
    ]
    outputs = [
        helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
        helper.make_tensor_value_info("after", TensorProto.FLOAT, None),
    ]
    nodes = [
        helper.make_node("Identity", ["go"], ["go_on"]),
        helper.make_node("Identity", ["before"], ["after"]),
    ]
    return helper.make_graph(nodes, "round", inputs, outputs)


def with_weights_beside(path: Path, change: float = 0.0) -> Path:
    """A model whose weights, moved by ``change``, lie in ``m.onnx.data`` beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    model = onnx.load(tiny(path))
    weight = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weight[0] += change
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "weight"))
    onnx.save_model(
        model, path, save_as_external_data=True, location="m.onnx.data", size_threshold=0
    )
    return path
