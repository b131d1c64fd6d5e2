"""Models of the public zoos' kinds load without metadata, or say why not."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper
from PIL import Image

from stgal_stream.cli import cli
from stgal_stream.errors import ModelError
from stgal_stream.extractor import adopted
from stgal_stream.extractor.crops import CropFormat, decode_crop
from stgal_stream.extractor.onnx import OnnxExtractor
from stgal_stream.extractor.preprocessing import BY_NAME
from stgal_stream.settings import PRESETS
from tests.support.tiny_model import tiny, with_weights_beside
from tests.support.zoo import Zoo, bytes_model, zoos

CPU = ("CPUExecutionProvider",)
PICTURE = Image.fromarray(
    np.random.default_rng(3).integers(0, 256, (150, 70, 3), dtype=np.uint8)
).resize((140, 300), Image.Resampling.BICUBIC)
# What cannot be told from these models, and somebody has to say.
TOLD = {"transreid": "half", "openvino descriptor": "openvino"}


def decoded(form: CropFormat) -> np.ndarray:
    stream = io.BytesIO()
    PICTURE.save(stream, "PNG")
    return decode_crop(stream.getvalue(), form, max_bytes=10**7, max_pixels=10**7)[None]


@pytest.mark.training  # it imports torch
@pytest.mark.parametrize("name", sorted(zoos()))
def test_features_are_those_of_its_own_framework(name: str, tmp_path: Path) -> None:
    zoo: Zoo = zoos()[name]
    path = zoo.export(tmp_path / "model.onnx")
    extractor = OnnxExtractor(path, providers=CPU, preset=TOLD.get(name, ""))
    assert (extractor.form.height_px, extractor.form.width_px) == zoo.size
    crops = np.concatenate([decoded(extractor.form)] * 3)
    crops[1:] //= 2
    found = extractor.embed(crops)
    assert found.shape == (3, 32)
    rounding = 5e-3 if zoo.is_half else 1e-4
    assert found[0] == pytest.approx(zoo.features(PICTURE), abs=rounding)


def test_bytes_and_rows_of_colours(tmp_path: Path) -> None:
    path = bytes_model(tmp_path / "mars.onnx")
    extractor = OnnxExtractor(path, providers=CPU)
    assert (extractor.form.height_px, extractor.form.width_px) == (128, 64)
    crops = decoded(extractor.form)
    weight = onnx.numpy_helper.to_array(onnx.load(path).graph.initializer[0])
    wanted = crops[0, :, :, ::-1].astype(np.float64).mean(axis=(0, 1)) @ weight
    assert extractor.embed(crops)[0] == pytest.approx(wanted / np.linalg.norm(wanted), abs=1e-4)


def _model(path: Path, inputs: list[tuple[str, int, list[object]]], output: str) -> Path:
    ports = [helper.make_tensor_value_info(*port) for port in inputs]
    nodes = [helper.make_node("GlobalAveragePool", [inputs[0][0]], ["pooled"])]
    nodes += [helper.make_node("Flatten", ["pooled"], ["flat"])]
    if len(inputs) > 1:
        nodes += [helper.make_node("Add", ["flat", inputs[1][0]], [output])]
    else:
        nodes += [helper.make_node("Identity", ["flat"], [output])]
    out = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", 3])
    graph = helper.make_graph(nodes, "g", ports, [out])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return path


def _crops(channels: int = 3) -> tuple[str, int, list[object]]:
    return "x", TensorProto.FLOAT, ["n", channels, 64, 32]


def _lfs(path: Path) -> Path:
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    return path


def _empty(path: Path) -> Path:
    path.touch()
    return path


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (lambda p: _model(p, [_crops()], "y"), "does not say how its crops are to be scaled"),
        (lambda p: _model(p, [_crops()], "logits"), "a classifier's numbers"),
        (lambda p: _model(p, [_crops(4)], "y"), "not one batch of crops"),
        (
            lambda p: _model(p, [_crops(), ("mask", TensorProto.FLOAT, ["n", 3])], "y"),
            "wants mask .* no number of a camera",
        ),
        (_lfs, "pointer of Git LFS"),
        (_empty, "is empty"),
    ],
)
def test_the_true_cause_is_named(make: Callable[[Path], Path], cause: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=cause):
        OnnxExtractor(make(tmp_path / "m.onnx"), providers=CPU)


def test_presets_are_those_that_can_be_set() -> None:
    assert tuple(BY_NAME) == PRESETS


def test_the_version_is_of_all_bytes_that_decide_the_features(tmp_path: Path) -> None:
    one = with_weights_beside(tmp_path / "a" / "m.onnx")
    two = with_weights_beside(tmp_path / "b" / "m.onnx", change=1.0)
    assert one.read_bytes() == two.read_bytes()
    versions = [OnnxExtractor(path, providers=CPU).version for path in (one, two)]
    assert versions[0] != versions[1]
    bare = [tiny(tmp_path / "bare.onnx", meta={})]
    named = {OnnxExtractor(bare[0], providers=CPU, preset=p).version for p in ("raw", "imagenet")}
    assert len(named) == 2
    (tmp_path / "a" / "m.onnx.data").unlink()
    with pytest.raises(ModelError, match=r"weights in m\.onnx\.data, which is not beside it"):
        OnnxExtractor(one, providers=CPU)


# --- adopt -----------------------------------------------------------------------------------


def test_adopt_decides_tells_and_writes(tmp_path: Path) -> None:
    path = tiny(tmp_path / "mine.onnx", meta={})
    runner = CliRunner()
    unknown = runner.invoke(cli, ["adopt", str(path)])
    assert isinstance(unknown.exception, ModelError)
    assert not adopted.path_of(path).exists()
    done = runner.invoke(cli, ["adopt", str(path), "--preset", "half", "--colour", "bgr"])
    assert done.exit_code == 0, done.output
    for said in ("crops go into crops (N, 3, 16, 8)", "bgr", "self-test passed: 6 numbers"):
        assert said in done.output
    first = OnnxExtractor(path, providers=CPU)
    assert (first.form.colour, first.form.mean) == ("bgr", (0.5, 0.5, 0.5))
    assert first.version in done.output
    again = ["adopt", str(path), "--mean", "1", "2", "3", "--std", "4", "5", "6", "--range", "255"]
    done = runner.invoke(cli, [*again, "--name", "other"])
    assert done.exit_code == 0, done.output
    second = OnnxExtractor(path, providers=CPU)
    assert second.version.startswith("other@")
    assert second.form.mean == pytest.approx((1 / 255, 2 / 255, 3 / 255))
    tiny(path, meta={}, dim=7)  # another model under the same name
    with pytest.raises(ModelError, match="written for another model"):
        OnnxExtractor(path, providers=CPU)


@pytest.mark.parametrize(
    "wrong",
    [("--output", "nothing"), ("--size", "99", "99"), ("--mean", "0", "0", "0")],
)
def test_wrong_wishes_are_refused_and_change_nothing(
    wrong: tuple[str, ...], tmp_path: Path
) -> None:
    path = tiny(tmp_path / "m.onnx", meta={})
    done = CliRunner().invoke(cli, ["adopt", str(path), "--preset", "raw", *wrong])
    assert done.exception is not None
    assert not adopted.path_of(path).exists()


def test_a_model_that_fails_its_self_test_is_not_adopted(tmp_path: Path) -> None:
    path = tiny(tmp_path / "m.onnx", meta={}, node="batch")
    done = CliRunner().invoke(cli, ["adopt", str(path), "--preset", "raw"])
    assert isinstance(done.exception, ModelError)
    assert not adopted.path_of(path).exists()
