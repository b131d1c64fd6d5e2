"""mapping.csv: renames followed, corrections after merges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stgal_stream.wire.mapping import Mapping


def event(kind: str, global_id: str, at_s: float = 0.0, **more: Any) -> dict[str, Any]:
    """An event; ``from_id`` stands for "from", which is a word of Python."""
    names = {"from" if name == "from_id" else name: value for name, value in more.items()}
    return {"type": kind, "globalId": global_id, "atSeconds": at_s, **names}


def seen(*names: str) -> dict[str, list[str]]:
    return {"detections": list(names)}


def test_first_and_final_identities(tmp_path: Path) -> None:
    mapping = Mapping()
    mapping.take(event("created", "A", 1.0, tracklet=seen("a1", "a2")))
    mapping.take(event("created", "B", 2.0, tracklet=seen("b1")))
    mapping.take(event("created", "C", 3.0, tracklet=seen("c1")))
    mapping.take(event("renamed", "B", scope="tracklet", tracklet=seen("a1"), to="B"))
    mapping.take(event("renamed", "A", scope="identity", to="A", from_id="B"))
    mapping.take(event("renamed", "C", scope="identity", to="C", from_id="A"))
    mapping.take(event("ended", "C"))
    rows = {row.detection_id: row for row in mapping}
    assert {name: row.global_id for name, row in rows.items()} == dict.fromkeys(rows, "C")
    assert rows["b1"].first_global_id == "B"
    assert rows["b1"].decided_at_s == 2.0
    mapping.write(tmp_path / "mapping.csv")
    lines = (tmp_path / "mapping.csv").read_text().splitlines()
    assert lines[0] == "detection_id,first_global_id,global_id,decided_at_s"
    assert lines[1] == "a1,A,C,1.0"
