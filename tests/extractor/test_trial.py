"""A model is tried where it can do no harm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stgal_stream.errors import ModelError
from stgal_stream.extractor.providers import CPU
from stgal_stream.extractor.trial import tried
from tests.support.tiny_model import tiny

LIMITS: dict[str, Any] = {"limit_s": 600.0, "limit_bytes": 8 * 1024**3}
LOADING: dict[str, Any] = {"providers": (CPU,), "eight_bit": True, "preset": ""}


def test_a_good_one_passes(tmp_path: Path) -> None:
    tried(tiny(tmp_path / "good.onnx"), LOADING, **LIMITS)


@pytest.mark.parametrize(
    ("node", "limits", "said"),
    [
        ("nan", {}, "gives NaN, infinite or zero features"),
        ("batch", {}, "fails its self-test"),
        ("endless", {"limit_s": 4.0}, "did not pass its self-test within 4 s"),
        ("hungry", {}, "bytes|allocat|memory"),
    ],
)
def test_what_is_wrong_is_said(
    node: str, limits: dict[str, Any], said: str, tmp_path: Path
) -> None:
    path = tiny(tmp_path / "bad.onnx", node=node)
    with pytest.raises(ModelError, match=said):
        tried(path, LOADING, **LIMITS | limits)


def test_what_is_no_model_or_gone(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model at"):
        tried(tmp_path / "gone.onnx", LOADING, **LIMITS)
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    with pytest.raises(ModelError, match=r"junk\.onnx"):
        tried(tmp_path / "junk.onnx", LOADING, **LIMITS)
