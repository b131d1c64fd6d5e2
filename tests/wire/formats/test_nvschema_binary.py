"""Binary nvschema frames, encoded by code that protoc generated."""

from __future__ import annotations

import contextlib
import importlib.util
import random
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from grpc_tools import protoc

from stgal_stream.log.port import Partition, Record
from stgal_stream.settings import InputSettings
from stgal_stream.types import Reason
from stgal_stream.wire.detection import decode
from stgal_stream.wire.fields import BadRecord
from tests.support.detector_messages import Seen, nvschema, written

INPUTS = InputSettings(max_future_s=float("inf"))


@pytest.fixture(scope="module")
def nv(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The generated module."""
    out = tmp_path_factory.mktemp("nv")
    here = Path(__file__).parent
    known = str(files("grpc_tools") / "_proto")
    assert not protoc.main(
        ["", f"-I{here}", f"-I{known}", f"--python_out={out}", str(here / "nv.proto")]
    )
    spec = importlib.util.spec_from_file_location("nv_pb2", out / "nv_pb2.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["nv_pb2"] = module
    spec.loader.exec_module(module)
    return module


def binary(nv: Any, *seen: Seen) -> bytes:
    body = nvschema(*seen)
    for thing in body["objects"]:
        thing.pop("coordinate"), thing.pop("pose")
    frame = json_format.ParseDict(body, nv.Frame(), ignore_unknown_fields=True)
    return bytes(frame.SerializeToString())


def record(value: bytes) -> Record:
    return Record(Partition("mdx-raw", 0), 3, b"gate", value, (), 1.7e9)


def test_binary_says_what_json_says(nv: Any) -> None:
    people = [Seen(track=i, vector=(1.5, -i)) for i in range(1, 6)] + [Seen(kind="bag")]
    found = decode(record(binary(nv, *people)), INPUTS)
    expected = decode(record(written("nvschema", *people)), INPUTS)
    assert found.format == "nvschema"
    assert (found.n_others, found.faults) == (1, ())
    for mine, other in zip(found.messages, expected.messages, strict=True):
        assert mine.vector is not None
        assert other.vector is not None
        assert mine.vector.tolist() == other.vector.tolist()
        for name in ("camera", "track_id", "box", "model", "site"):
            assert getattr(mine, name) == getattr(other, name)
        assert mine.time_s == pytest.approx(other.time_s)
        assert mine.confidence == pytest.approx(other.confidence)


def test_binary_that_is_none_is_refused(nv: Any) -> None:
    good = binary(nv, Seen())
    for value in (b"\x00", b"\xff" * 50, good[:-3], b"\x0a\x03abc"):
        with pytest.raises(BadRecord) as caught:
            decode(record(value), INPUTS)
        assert caught.value.reason is Reason.NOT_JSON


def test_any_bytes_are_taken_or_refused(nv: Any) -> None:
    chance, good = random.Random(1), binary(nv, Seen(), Seen(track=8))
    for _ in range(5_000):
        value = bytearray(good)
        for _ in range(chance.choice((1, 2, 8))):
            value[chance.randrange(len(value))] = chance.randrange(256)
        with contextlib.suppress(BadRecord):
            decode(record(bytes(value[: chance.randrange(len(value) + 1)])), INPUTS)
