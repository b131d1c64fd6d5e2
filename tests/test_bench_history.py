"""The benchmark's history: what is compared with what, and what the page shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from bench_history import Entry, History, Row, draw, got_worse, write_page

MACHINE: dict[str, str] = {"processor": "A", "cores": "2 cores"}
ROWS = (
    Row("associate", "500 /s", "1000, faiss", 0.5, "by window", 1_000),
    Row("associate more", "50 /s", "200, faiss", 0.25, "by window", 10_000),
    Row("daemon", "9 crops/s", "10, onnxruntime", 0.9),
)
ENTRY = Entry("2026-01-31", "abc", MACHINE, {"numpy": "2"}, ROWS)


def test_a_row_is_compared_with_the_newest_of_its_machine(tmp_path: Path) -> None:
    history = History(tmp_path / "benchmarks.jsonl")
    assert not history.newest(MACHINE)
    older, newest = replace(ENTRY, commit="first"), replace(ENTRY, commit="second")
    other = replace(ENTRY, commit="third", machine=MACHINE | {"gpu": "B"})
    partial = replace(ENTRY, commit="fourth", rows=(replace(ROWS[0], ratio=0.6),))
    for entry in (older, newest, other, partial):
        history.add(entry)
    found = history.newest(MACHINE)
    assert {name: entry.commit for name, (_, entry) in found.items()} == {
        "associate": "fourth",
        "associate more": "second",
        "daemon": "second",
    }
    assert found["associate"][0].ratio == 0.6


def test_only_what_fell_by_more_than_a_tenth_is_told() -> None:
    now = (
        replace(ROWS[0], ratio=0.46),
        replace(ROWS[1], ratio=0.2),
        replace(ROWS[2], name="new", ratio=0.1),
    )
    (line,) = got_worse(replace(ENTRY, rows=now), {row.name: (row, ENTRY) for row in ROWS})
    assert line == "associate more: 0.20, was 0.25 on 2026-01-31 (abc)"


def test_the_page_holds_the_run_and_keeps_what_is_around_it(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text("before\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nafter\n")
    for _ in range(2):
        write_page(page, ENTRY)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert text.count("| daemon | 9 crops/s | 10, onnxruntime | 0.90 |") == 1
    page.write_text("no marks")
    with pytest.raises(ValueError, match="no place for the benchmark"):
        write_page(page, ENTRY)


def test_a_picture_is_the_same_again(tmp_path: Path) -> None:
    one, again = tmp_path / "one.svg", tmp_path / "again.svg"
    draw(one, ENTRY)
    draw(again, ENTRY)
    assert one.read_bytes() == again.read_bytes()
    assert b"by window" in one.read_bytes()
