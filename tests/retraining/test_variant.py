"""The 8-bit variant: used on a CPU under its model's name, kept only where it is good enough."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from stgal_stream.errors import ModelError
from stgal_stream.extractor.onnx import OnnxExtractor, variant_path
from stgal_stream.extractor.releases import ABOUT, MODEL, Release, Releases, sha256_of
from stgal_stream.retraining.data.pseudo_pairs import StreamData
from stgal_stream.retraining.data.stream_events import Sighting
from stgal_stream.retraining.variant import make_variant
from stgal_stream.training.batches import PseudoPair
from stgal_stream.training.export import export, imagenet_format
from stgal_stream.training.network import ResNet50
from stgal_stream.training.quantised import quantise
from stgal_stream.types import Position
from tests.support.pictures import encoded
from tests.support.tiny_model import tiny

CPU = ("CPUExecutionProvider",)


def seen_twice(n_people: int = 220, darkest: int = 0) -> StreamData:
    """People of colours of their own, each seen by two cameras and paired."""
    rng = np.random.default_rng(1)
    sightings: list[Sighting] = []
    pixels, pairs = [], []
    for person in range(n_people):
        colours = rng.integers(darkest, 256, (4, 2, 3))
        for camera in (0, 1):
            at_s, row = 100.0 * person + 40 * camera, len(sightings)
            at = Position("d", 0, row)
            sightings.append(Sighting(f"{person}-{camera}", "s", f"c{camera}", at_s, at_s, at))
            crop = np.repeat(np.repeat(colours, 4, axis=0), 4, axis=1)
            pixels.append(np.clip(crop + rng.normal(0, 12, crop.shape), 0, 255).astype(np.uint8))
        pairs.append(PseudoPair(row - 1, row, 0.9))
    return StreamData(sightings, encoded(p[None] for p in pixels), pairs)


def test_a_good_variant_is_used_under_the_models_name(tmp_path: Path) -> None:
    path, data = tiny(tmp_path / "m.onnx", dim=24), seen_twice()
    floats = OnnxExtractor(path, providers=CPU, eight_bit=False)
    found = make_variant(floats, data, data.crops)
    assert found.kept
    assert found.n_queries == 440
    assert found.rank1 > 0.9
    assert found.rank1 - found.rank1_eight_bit < 0.005
    assert found.sha256 == sha256_of(variant_path(path))
    eight_bit = OnnxExtractor(path, providers=CPU)
    assert eight_bit.eight_bit
    assert not floats.eight_bit
    assert (eight_bit.version, eight_bit.form) == (floats.version, floats.form)
    one, other = (
        extractor.embed(data.crops.some(20, floats.form)) for extractor in (floats, eight_bit)
    )
    assert (one != other).any()
    assert np.abs(one - other).max() < 0.05 * np.abs(one).max()


def test_a_variant_that_loses_too_much_is_not_kept(tmp_path: Path) -> None:
    """Calibrated on crops without light, all that is bright becomes one."""
    path, data = tiny(tmp_path / "m.onnx", dim=24), seen_twice(darkest=130)
    floats = OnnxExtractor(path, providers=CPU, eight_bit=False)
    dark = encoded(np.zeros((8, 1, 16, 8, 3), np.uint8))
    found = make_variant(floats, data, dark)
    assert not found.kept
    assert found.rank1 - found.rank1_eight_bit > 0.05
    assert not variant_path(path).exists()
    assert not OnnxExtractor(path, providers=CPU).eight_bit


def test_too_few_pairs_measure_nothing(tmp_path: Path) -> None:
    path, data = tiny(tmp_path / "m.onnx"), seen_twice(100)
    found = make_variant(OnnxExtractor(path, providers=CPU), data, data.crops)
    assert (found.kept, found.n_queries) == (False, 200)
    assert not variant_path(path).exists()


def test_another_models_variant_is_refused(tmp_path: Path) -> None:
    path = tiny(tmp_path / "m.onnx")
    model = OnnxExtractor(path, providers=CPU)
    quantise(model, seen_twice(20).crops.some(40, model.form), variant_path(path))
    tiny(path, version="other")
    with pytest.raises(ModelError, match="another model"):
        OnnxExtractor(path, providers=CPU)
    assert not OnnxExtractor(path, providers=CPU, eight_bit=False).eight_bit


def test_a_release_holds_its_variant_and_its_hash(tmp_path: Path) -> None:
    path, made = tiny(tmp_path / "m.onnx"), variant_path(tmp_path / "m.onnx")
    model = OnnxExtractor(path, providers=CPU)
    quantise(model, seen_twice(20).crops.some(40, model.form), made)
    releases = Releases(tmp_path / "releases")
    for version, kept in (("good", True), ("without", False)):
        about = {"sha256": sha256_of(made), "kept": kept}
        releases.add(Release(version, sha256_of(path), "parent", "2026-01-01", variant=about), path)
    assert OnnxExtractor(releases.model("good"), providers=CPU).eight_bit
    without = releases.model("without")
    assert not OnnxExtractor(without, providers=CPU).eight_bit
    variant_path(without).write_bytes(made.read_bytes() + b"x")
    with pytest.raises(ModelError, match="not what was released"):
        releases.model("without")
    with variant_path(tmp_path / "releases" / "good" / MODEL).open("ab") as out:
        out.write(b"x")
    with pytest.raises(ModelError, match="not what was released"):
        releases.model("good")


def test_a_variant_that_was_put_in_after_the_promotion_is_refused(tmp_path: Path) -> None:
    """With its hash in the folder's own description, which the log knows better."""
    path, made = tiny(tmp_path / "m.onnx"), variant_path(tmp_path / "m.onnx")
    model = OnnxExtractor(path, providers=CPU)
    quantise(model, seen_twice(20).crops.some(40, model.form), made)
    releases = Releases(tmp_path / "releases")
    about = {"sha256": sha256_of(made), "kept": True}
    releases.add(Release("good", sha256_of(path), "parent", "2026-01-01", variant=about), path)
    promotion = releases.promotion("good")
    assert promotion.variant == sha256_of(made)
    assert releases.promoted(promotion) == releases.folder / "good" / MODEL
    with variant_path(releases.folder / "good" / MODEL).open("ab") as out:
        out.write(b"x")
    said = releases.folder / "good" / ABOUT
    forged = sha256_of(variant_path(releases.folder / "good" / MODEL))
    said.write_text(said.read_text().replace(promotion.variant, forged))
    assert releases.model("good").is_file()
    with pytest.raises(ModelError, match="not what was promoted"):
        releases.promoted(promotion)


def test_a_stop_in_the_middle_leaves_no_variant(tmp_path: Path) -> None:
    path, data = tiny(tmp_path / "m.onnx", dim=24), seen_twice()
    floats = OnnxExtractor(path, providers=CPU, eight_bit=False)

    def stopped(step: str, done: int, total: int) -> None:
        assert not variant_path(path).exists()
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_variant(floats, data, data.crops, stopped)
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]


def test_pairs_within_one_camera_measure_nothing(tmp_path: Path) -> None:
    data = seen_twice()
    data.sightings = [replace(s, camera="c") for s in data.sightings]
    model = OnnxExtractor(tiny(tmp_path / "m.onnx"), providers=CPU)
    found = make_variant(model, data, data.crops)
    assert (found.kept, found.n_queries) == (False, 0)


@pytest.mark.slow
def test_weights_that_are_stored_in_8_bits_are_quantised_again(tmp_path: Path) -> None:
    """In 7 bits, as those of floats are."""
    network = ResNet50()
    export(network, tmp_path / "m.onnx", imagenet_format(32, 16), version="m", eight_bit=True)
    crops = np.random.default_rng(0).integers(0, 256, (4, 32, 16, 3), dtype=np.uint8)
    quantise(OnnxExtractor(tmp_path / "m.onnx", providers=CPU), crops, tmp_path / "v.onnx")
    tensors = onnx.load(tmp_path / "v.onnx").graph.initializer
    weights = [t for t in tensors if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 4]
    assert len(weights) > 50
    assert max(np.abs(onnx.numpy_helper.to_array(t).astype(int)).max() for t in weights) <= 64


def test_what_cannot_be_quantised_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    path = tiny(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="cannot be quantised"):
        quantise(
            OnnxExtractor(path, providers=CPU), np.zeros((8, 32, 32, 3), np.uint8), tmp_path / "v"
        )
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]
