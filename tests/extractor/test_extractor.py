"""Extractors: the shipped one, exported ones, and those that must be refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from stgal_stream.errors import ModelError
from stgal_stream.extractor import providers
from stgal_stream.extractor.onnx import SHIPPED, OnnxExtractor
from stgal_stream.training.export import export, imagenet_format
from stgal_stream.training.network import load_network, read_state
from tests.support.tiny_model import META, tiny

CPU = ("CPUExecutionProvider",)


def test_a_good_model_says_what_it_wants(tmp_path: Path) -> None:
    extractor = OnnxExtractor(tiny(tmp_path / "m.onnx"), providers=CPU)
    assert (extractor.form.height_px, extractor.form.width_px, extractor.dim) == (16, 8, 6)
    assert extractor.version.startswith("tiny@")
    assert extractor.provider == "CPUExecutionProvider"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: tiny(p, node="batch"), "fails its self-test"),
        (lambda p: tiny(p, node="nan"), "NaN"),
        (lambda p: tiny(p, meta={}), "does not say how its crops are to be scaled"),
        (lambda p: tiny(p, meta=META | {"stgal.height": "32"}), "its metadata says"),
        (lambda p: tiny(p, meta=META | {"stgal.std": "0,1,1"}), "cannot be right"),
        (lambda p: p.write_bytes(b"garbage") and p, "not a model|cannot be read"),
        (lambda p: p, "no model at"),
    ],
)
def test_models_that_cannot_be_used_are_refused(
    make: Callable[[Path], Path], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=message):
        OnnxExtractor(make(tmp_path / "m.onnx"), providers=CPU)


def test_what_a_gpu_rounds_is_no_dependence_on_the_batch(tmp_path: Path) -> None:
    extractor = OnnxExtractor(tiny(tmp_path / "m.onnx", node="rounding"), providers=CPU)
    crops = np.random.default_rng(0).integers(0, 256, (4, 16, 8, 3), dtype=np.uint8)
    together = extractor.embed(crops)
    alone = np.concatenate([extractor.embed(crops[i : i + 1]) for i in range(4)])
    assert 0.0 < np.abs(together - alone).max() < 1e-3


def test_a_gpu_that_stays_idle_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its driver is there, CUDA's libraries or the driver's own are not."""
    if providers.DRIVER.exists():
        pytest.skip("there is a GPU")
    path = tiny(tmp_path / "m.onnx")
    OnnxExtractor(path)
    assert not caplog.records
    monkeypatch.setattr(providers, "DRIVER", path)
    assert OnnxExtractor(path).provider == "CPUExecutionProvider"
    assert "there is a GPU, but onnxruntime cannot use it" in caplog.text
    caplog.clear()
    OnnxExtractor(path, providers=CPU)
    assert not caplog.records


def test_the_shipped_extractor_is_small_and_batches_do_not_matter() -> None:
    assert SHIPPED.stat().st_size < 25_000_000
    extractor = OnnxExtractor(SHIPPED, providers=CPU)
    shape = (9, extractor.form.height_px, extractor.form.width_px, 3)
    crops = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    whole = extractor.embed(crops)
    assert whole.shape == (9, 2048)
    assert np.linalg.norm(whole, axis=1) == pytest.approx(1.0, abs=1e-5)
    parts = np.concatenate([extractor.embed(crops[i : i + 2]) for i in range(0, 9, 2)])
    assert parts == pytest.approx(whole, abs=1e-5)


@pytest.mark.parametrize("eight_bit", [False, True])
def test_export_is_equal_to_torch(eight_bit: bool, tmp_path: Path) -> None:
    network = load_network("seeded", seed=3)
    path = tmp_path / "net.onnx"
    parity = export(
        network,
        path,
        imagenet_format(64, 32),
        version="s",
        eight_bit=eight_bit,
        unit_length=True,
    )
    assert parity.min_cosine > (0.99 if eight_bit else 0.99999)
    assert (path.stat().st_size < 25_000_000) == eight_bit
    assert OnnxExtractor(path, providers=CPU).dim == 2048


def test_toolkit_checkpoints_load(tmp_path: Path) -> None:
    state = load_network("seeded", seed=4).net.state_dict()
    for prefix, container in (("module.", "state_dict"), ("backbone.", "model"), ("base.", None)):
        named = {prefix + name: tensor for name, tensor in state.items()}
        named["classifier.weight"] = torch.zeros(751, 2048)
        path = tmp_path / "weights.pth"
        torch.save(named if container is None else {container: named}, path)
        found = read_state(path)
        assert all(bool((found[name] == state[name]).all()) for name in found)


def test_checkpoints_that_are_something_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    for content, message in (
        ({"conv1.weight": torch.zeros(64, 3, 7, 7)}, "lacks"),
        ({"conv1.weight": torch.zeros(1)}, "shape"),
        ([1, 2], "not a state_dict"),
    ):
        torch.save(content, path)
        with pytest.raises(ModelError, match=message):
            read_state(path)
    path.write_bytes(b"garbage")
    with pytest.raises(ModelError, match="not a checkpoint"):
        read_state(path)
    with pytest.raises(ModelError, match="no weights"):
        load_network(str(tmp_path / "absent.pth"))


def test_imagenet_weights_that_cannot_be_fetched_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*args: object, **kwargs: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", no_network)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", no_network)
    with pytest.raises(ModelError, match="could not be fetched"):
        load_network("imagenet")
