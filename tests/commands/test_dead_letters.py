"""Refused records: listed with their reasons, shown, and sent again after the cause is mended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from stgal_stream.cli import cli
from stgal_stream.errors import DataError
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.port import NewRecord, TopicSpec
from tests.support.detector_messages import Seen, dlstreamer, walk, written


def command(*arguments: str, environ: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli, arguments, env=environ)


@pytest.fixture
def log(tmp_path: Path) -> EmbeddedLog:
    """Six records with times that count from the stream's beginning, and one that is no JSON."""
    made = EmbeddedLog(tmp_path / "log")
    made.ensure_topics([TopicSpec("detections", 1, 1e9)])
    values = []
    for second in range(6):
        body = dlstreamer(Seen(track=second))
        del body["rtp"]
        body["timestamp"] = second * 1_000_000_000
        values.append(json.dumps(body).encode())
    made.append([NewRecord("detections", b"gate", value) for value in [*values, b"no JSON"]])
    return made


def run(log: EmbeddedLog, tmp_path: Path, environ: dict[str, str] | None = None) -> None:
    settings = {"STGAL_DAEMON_STATE_DIR": str(tmp_path / "state"), "STGAL_DAEMON_HTTP_PORT": "0"}
    settings |= environ or {}
    done = command("run", "--embedded", str(log.directory), "--until-end", environ=settings)
    assert done.exit_code == 0, done.output


def listed(log: EmbeddedLog) -> dict[str, Any]:
    done = command("dead-letters", "list", "--embedded", str(log.directory), "--json")
    found: dict[str, Any] = json.loads(done.output)
    return found


def test_what_was_refused_is_used_once_the_cause_is_mended(
    log: EmbeddedLog, tmp_path: Path
) -> None:
    where = ("--embedded", str(log.directory))
    run(log, tmp_path)
    found = listed(log)
    assert {reason: entry["count"] for reason, entry in found.items()} == {
        "bad_timestamp": 6, "not_json": 1,
    }  # fmt: skip
    assert "input.stream_start" in found["bad_timestamp"]["detail"]
    assert "bad_timestamp" in command("dead-letters", "list", *where).output
    shown = command("dead-letters", "show", *where, "--limit", "2").output.splitlines()
    assert [json.loads(line)["reason"] for line in shown] == ["bad_timestamp", "not_json"]
    bare = command("dead-letters", "show", *where, "--reason", "not_json", "--records")
    assert bare.output.strip() == "no JSON"
    tried = command("dead-letters", "resend", *where, "--reason", "bad_timestamp", "--dry-run")
    assert "6 records would be sent" in tried.output
    done = command("dead-letters", "resend", *where, "--reason", "bad_timestamp")
    assert "6 records sent again, 0 are gone" in done.output
    run(log, tmp_path, {"STGAL_INPUT_STREAM_START": "2025-01-01T00:00:00Z"})
    assert listed(log)["bad_timestamp"]["count"] == 6  # none of them again
    embedded = [r for r in log.read("embeddings", 0, 0, 100) if r.value]
    assert len(embedded) >= 6
    log.close()


def test_what_retention_took_is_told(log: EmbeddedLog, tmp_path: Path) -> None:
    run(log, tmp_path)
    log.delete_before("detections", 2)
    done = command(
        "dead-letters", "resend", "--embedded", str(log.directory), "--reason", "bad_timestamp"
    )
    assert "4 records sent again, 2 are gone" in done.output
    log.close()


def test_no_log_is_told(tmp_path: Path) -> None:
    done = command("dead-letters", "list", "--embedded", str(tmp_path / "typo"))
    assert isinstance(done.exception, DataError)
    assert not (tmp_path / "typo").exists()


def test_too_many_unusable_records_are_an_error(tmp_path: Path) -> None:
    lines = [written("scenescape", seen) for seen in walk(4)]
    (tmp_path / "in.jsonl").write_bytes(b"\n".join([*lines, *[b"{}"] * 4]))
    what = ("run", "--from", str(tmp_path / "in.jsonl"), "--to", str(tmp_path / "out.jsonl"))
    assert command(*what).exit_code == 0
    assert command(*what, "--max-unusable", "0.1").exit_code == 0
    done = command(*what, "--max-unusable", "0.09")
    assert isinstance(done.exception, DataError)
    assert "4 of the 40 records" in str(done.exception)
    assert (tmp_path / "out.jsonl").stat().st_size > 0  # what could be used is there
    nobody = written("scenescape", Seen(kind="chair"))
    (tmp_path / "in.jsonl").write_bytes(nobody)
    assert "shows a person" in str(command(*what).exception)
