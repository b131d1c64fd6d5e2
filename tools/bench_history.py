"""What `make bench` has measured, entry after entry, and what of it got worse.

An entry of ``docs/benchmarks.jsonl`` is one run: when, of which commit, on which machine, with what
versions, and its rows. Two entries are compared where their machines are of one type: processor,
cores, and GPU if there is one. A ratio is what we do over a limit measured in the same run, so it
depends on the machine's mood far less than a rate does; higher is better.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

WORSE = 0.9  # of what it was: a smaller change is the machine's
_BEGIN, _END = "<!-- bench: begin -->", "<!-- bench: end -->"
_PACKAGES = ("numpy", "onnxruntime", "torch", "kafka-python", "faiss-cpu")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: ``ours`` and ``limit`` as they are told, and the ratio of the two. ``group`` and
    ``size`` place it in a picture, where it has a place in one."""

    name: str
    ours: str
    limit: str
    ratio: float
    group: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """One run of the benchmark."""

    day: str
    commit: str
    machine: dict[str, str]
    versions: dict[str, str]
    rows: tuple[Row, ...]

    @classmethod
    def now(cls, rows: list[Row]) -> Entry:
        """The run that has just ended, on this machine."""
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        return cls(today, _commit(), _machine(), _versions(), tuple(rows))


class History:
    """The entries in a file, the oldest first."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def newest(self, machine: dict[str, str]) -> dict[str, tuple[Row, Entry]]:
        """By name, the newest row that a type of machine has, and its entry: a run may leave some
        out."""
        lines = self._path.read_bytes().splitlines() if self._path.exists() else []
        entries = [msgspec.json.decode(line, type=Entry) for line in lines]
        return {row.name: (row, e) for e in entries if e.machine == machine for row in e.rows}

    def add(self, entry: Entry) -> None:
        """Appends one."""
        with self._path.open("ab") as out:
            out.write(msgspec.json.encode(entry) + b"\n")


def got_worse(entry: Entry, before: dict[str, tuple[Row, Entry]]) -> list[str]:
    """A line for each ratio that fell by more than a tenth since the newest one ``before``."""
    found = []
    for row in entry.rows:
        if row.name in before:
            was, then = before[row.name]
            if row.ratio < WORSE * was.ratio:
                told = f"{row.ratio:.2f}, was {was.ratio:.2f} on {then.day} ({then.commit})"
                found.append(f"{row.name}: {told}")
    return found


def write_page(page: Path, entry: Entry) -> None:
    """Puts the run between the marks of a page of the documentation.

    Raises:
        ValueError: the page has no marks.
    """
    text = page.read_text()
    if text.count(_BEGIN) != 1 or text.count(_END) != 1:
        raise ValueError(f"{page} has no place for the benchmark: {_BEGIN} … {_END}")
    head, rest = text.split(_BEGIN)
    page.write_text(f"{head}{_BEGIN}\n{_table(entry)}{_END}{rest.split(_END)[1]}")


def _table(entry: Entry) -> str:
    machine = ", ".join(str(value) for value in entry.machine.values())
    versions = ", ".join(f"{name} {version}" for name, version in entry.versions.items())
    lines = [f"{entry.day}, commit {entry.commit}; {machine}; {versions}; seed 1.", ""]
    lines += ["| what | ours | limit | ratio |", "|---|---|---|---|"]
    lines += [f"| {r.name} | {r.ours} | {r.limit} | {r.ratio:.2f} |" for r in entry.rows]
    return "\n".join(lines) + "\n"


def draw(path: Path, entry: Entry) -> None:
    """Ratios over the sizes that they were measured at, a curve a group."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams |= {"svg.hashsalt": "stgal", "font.size": 10, "svg.fonttype": "none"}
    groups = list(dict.fromkeys(row.group for row in entry.rows if row.group))
    if not groups:
        return
    figure, axes = plt.subplots(
        1, len(groups), figsize=(4.5 * len(groups), 3.0), layout="constrained", squeeze=False
    )
    for plot, group in zip(axes[0], groups, strict=True):
        rows = sorted((r for r in entry.rows if r.group == group), key=lambda r: r.size)
        plot.plot([r.size for r in rows], [r.ratio for r in rows], "o-")
        plot.axhline(1.0, color="0.7", linewidth=0.8)
        plot.set_xscale("log")
        plot.minorticks_off()
        plot.set_xticks([r.size for r in rows], labels=[f"{r.size:,}" for r in rows])
        plot.set_ylim(0.0, max(1.2, *(1.1 * r.ratio for r in rows)))
        plot.set_title(group, fontsize=10)
        plot.set_ylabel("of the limit")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _machine() -> dict[str, str]:
    """The type of this machine."""
    told = Path("/proc/cpuinfo")
    name = re.search(r"model name\s*: (.*)", told.read_text()) if told.exists() else None
    found: dict[str, str] = {
        "processor": name.group(1) if name else platform.processor() or platform.machine(),
        "cores": f"{os.cpu_count()} cores",
    }
    if (gpu := _gpu()) is not None:
        found["gpu"] = gpu
    return found


def _gpu() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def _versions() -> dict[str, str]:
    found = {"Python": ".".join(map(str, sys.version_info[:3]))}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
