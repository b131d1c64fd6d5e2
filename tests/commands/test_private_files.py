"""What the commands write is personal data: only their user can read it."""

from __future__ import annotations

import stat
from pathlib import Path

from tests.support.process import stgal


def test_nobody_else_can_read_what_is_written(tmp_path: Path) -> None:
    environ = {"STGAL_DAEMON_HTTP_PORT": "0", "STGAL_DAEMON_STATE_DIR": str(tmp_path / "state")}
    where = ("--embedded", "log")
    stgal("replay", "site", "--people", "4", "--minutes", "2", *where, cwd=tmp_path)
    stgal("run", *where, "--until-end", cwd=tmp_path, environ=environ)
    stgal("replay", "site", "--people", "4", "--minutes", "2", "--to", "d.jsonl", cwd=tmp_path)
    results = ("--to", "i.jsonl", "--mapping", "m.csv", "--associations", "a.jsonl")
    stgal("run", "--from", "d.jsonl", *results, cwd=tmp_path)
    written = [path for path in tmp_path.rglob("*") if not path.is_symlink()]
    assert {"log", "state", "d.jsonl", "i.jsonl", "m.csv", "a.jsonl"} <= {p.name for p in written}
    assert any(path.suffix == ".snapshot" for path in written)
    readable = [p for p in written if p.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]
    assert not readable
