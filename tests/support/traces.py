"""Bytes that may be nowhere in files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def found_in(folder: Path, traces: Iterable[bytes]) -> dict[bytes, set[str]]:
    """Of each trace the files in which it stands, or a piece of it: SQLite lays what is long into
    pages."""
    contents = {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    return {
        trace: files
        for trace in traces
        if (files := {n for n, c in contents.items() if any(x in c for x in _pieces(trace))})
    }


def _pieces(trace: bytes) -> list[bytes]:
    """A short trace as it is; of a long one some pieces of its second half: pictures of one size
    have their head in common."""
    if len(trace) < 64:
        return [trace]
    return [trace[at : at + 24] for at in range(len(trace) // 2, len(trace) - 24, 120)]
