"""The files of detectors' messages that are shipped are what the detectors write, and are read."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
from click.testing import CliRunner

from stgal_stream.cli import cli
from tests.support.detector_messages import EXAMPLES, example

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_a_file_of_examples_is_what_its_writer_writes(name: str) -> None:
    assert (ROOT / "examples" / "messages" / f"{name}.jsonl").read_bytes() == example(name)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_everybody_in_the_examples_is_found_in_all_cameras(name: str, tmp_path: Path) -> None:
    source = ROOT / "examples" / "messages" / f"{name}.jsonl"
    what = ["run", "--from", str(source), "--to", str(tmp_path / "i.jsonl")]
    done = CliRunner().invoke(cli, [*what, "--mapping", str(tmp_path / "mapping.csv")])
    assert done.exit_code == 0, done.output
    cameras = defaultdict(set)
    header, *rows = (tmp_path / "mapping.csv").read_text().splitlines()
    columns = header.split(",")
    for row in rows:
        values = dict(zip(columns, row.split(","), strict=True))
        cameras[values["global_id"]].add(values["detection_id"].split("/")[0])
    assert len(rows) == 108
    assert sum(len(seen) == 3 for seen in cameras.values()) == 12
