"""Files of detections: wrappings, layouts and the order in which they are taken."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from rich.console import Console

from stgal_stream.commands.detection_file import load_into
from stgal_stream.errors import DataError
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.port import TopicSpec
from stgal_stream.settings import InputSettings

RECORDS = [
    {
        "id": f"d{i}",
        "sensorId": f"c{i % 3}",
        "timestamp": 1.7e9 + i,
        "embedding": {"vector": [1.0], "model": "m"},
        "x": [{}, {"y": 1}],
    }
    for i in range(60)
]
LINES = "".join(json.dumps(record) + "\n" for record in RECORDS).encode()


def loaded(folder: Path, content: bytes) -> list[dict[str, Any]]:
    path = folder / "detections"
    path.write_bytes(content)
    log = EmbeddedLog(folder / "log")
    log.ensure_topics([TopicSpec("t", 1, 1e9)])
    n = load_into(log, "t", path, InputSettings(), Console(quiet=True))
    found = [json.loads(r.value.decode("utf-8-sig")) for r in log.read("t", 0, 0, 10_000)]
    log.close()
    assert n == len(found)
    return found


@pytest.mark.parametrize(
    "content",
    [
        LINES,
        b"\xef\xbb\xbf" + LINES,
        LINES.replace(b"\n", b"\r\n"),
        LINES.replace(b"\n", b"\n\n"),
        LINES.rstrip(),
        gzip.compress(LINES),
        zstandard.compress(LINES),
        zstandard.compress(LINES[:1000]) + zstandard.compress(LINES[1000:]),
        json.dumps(RECORDS).encode(),
        json.dumps(RECORDS, indent=2).encode(),
        b"\xef\xbb\xbf" + json.dumps(RECORDS).encode(),
        gzip.compress(json.dumps(RECORDS, indent=2).encode()),
        "\n".join(json.dumps(record, indent=2) for record in RECORDS).encode(),
    ],
    ids=["lines", "bom", "crlf", "blank", "no-end", "gzip", "zstd",
         "zstd-frames", "array", "pretty", "bom-array", "gzip-pretty", "pretty-objects"],
)  # fmt: skip
def test_every_wrapping_holds_the_same(tmp_path: Path, content: bytes) -> None:
    assert loaded(tmp_path, content) == RECORDS


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no detection"),
        (b"[]", "holds no detection"),
        (b"[{}", "is no JSON"),
        (b"{\n  'a': 1}", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (gzip.compress(LINES)[:-20], "cannot be read"),
        (b"\x28\xb5\x2f\xfd rest", "broken zstd"),
        (zstandard.compress(LINES)[:-5], "broken zstd"),
        (b"a\x00b", "binary"),
    ],
)
def test_what_holds_no_detections_is_said(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said):
        loaded(tmp_path, content)


def as_lines(records: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def test_camera_after_camera_or_shuffled_is_taken_by_time(tmp_path: Path) -> None:
    by_camera = sorted(RECORDS, key=lambda r: str(r["sensorId"]))
    assert loaded(tmp_path / "a", as_lines(by_camera)) == RECORDS
    shuffled = [RECORDS[i] for i in np.random.default_rng(1).permutation(len(RECORDS))]
    assert loaded(tmp_path / "b", as_lines(shuffled)) == RECORDS


def test_a_file_as_cameras_send_it_is_taken_as_it_is(tmp_path: Path) -> None:
    """One camera's clock is an hour slow, one record in forty is a minute ahead."""
    sent = [
        record | {"timestamp": 1.7e9 + i - 3600 * (i % 3 == 1) + 59 * (i % 40 == 20)}
        for i, record in enumerate(RECORDS)
    ]
    assert loaded(tmp_path, as_lines(sent)) == sent


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
