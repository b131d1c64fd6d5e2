"""Clocks: from what a data set's file names say to seconds on one clock for all cameras."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from stgal_stream.errors import DataError

MARKET_FPS = 25.0
# Start of every sequence, in frames at 25 fps, on one clock for all cameras. The published frame
# counters restart in every sequence of every camera. Derived by us from train identities alone: the
# shifts under which the same person's sightings in two cameras lie closest in time. A fit on test
# identities agrees within 0 to 6 s (camera 4's last sequences: 7 to 11 s).
MARKET_STARTS_FILE = Path(__file__).parent / "market1501_starts.csv"

Starts = Mapping[tuple[int, int], int]

# DukeMTMC's official start frames: global = local + start - 1, at 59.940059 fps.
DUKE_FPS = 59.940059
DUKE_STARTS: dict[int, int] = {
    1: 5543,
    2: 3607,
    3: 27244,
    4: 31182,
    5: 1,
    6: 22402,
    7: 18968,
    8: 46766,
}

# MSMT17: three one-hour slots on each of four days; a tick within a slot counts as a second.
MSMT_SLOT_HOURS = {"morning": 8, "noon": 12, "afternoon": 16}


def read_starts(path: Path = MARKET_STARTS_FILE) -> dict[tuple[int, int], int]:
    """Starts of sequences in frames by (camera, sequence), from CSV
    ``camera,sequence,start_frame``.

    Raises:
        DataError: the file cannot be read or lacks a column.
    """
    try:
        with path.open(newline="") as lines:
            return {
                (int(row["camera"]), int(row["sequence"])): int(row["start_frame"])
                for row in csv.DictReader(line for line in lines if not line.startswith("#"))
            }
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, ValueError, TypeError) as error:
        raise DataError(
            f"{path} cannot be read as sequence starts: {error}",
            hint="its columns are camera,sequence,start_frame, all whole numbers",
        ) from error


def market_corrected_s(camera: int, sequence: int, frame: int, starts: Starts) -> float:
    """Seconds on one clock for all cameras; a sequence that is not known counts from 0."""
    return (starts.get((camera, sequence), 0) + frame) / MARKET_FPS


def market_concatenated_s(
    camera: int, sequence: int, frame: int, last_frames: Mapping[tuple[int, int], int]
) -> float:
    """st-reID's rule: sequences laid end to end, every camera starting at 0. ``last_frames`` holds
    the largest frame of every (camera, sequence)."""
    before = sum(last_frames.get((camera, s), 0) for s in range(1, sequence))
    return (before + frame) / MARKET_FPS


def market_same_sequence_s(sequence: int, frame: int) -> float:
    """TFusion's rule: frames compare within a sequence only; sequences lie a day apart."""
    return sequence * 86_400.0 + frame / MARKET_FPS


def duke_s(camera: int, frame: int) -> float:
    """Seconds on Duke's global clock."""
    return (frame + DUKE_STARTS.get(camera, 1) - 1) / DUKE_FPS


def msmt_s(slot: str, tick: int) -> float:
    """Seconds from a date-and-slot code such as ``0303morning`` and a tick within it."""
    day = int(slot[2:4]) if slot[:4].isdigit() else 0
    hours = next((h for name, h in MSMT_SLOT_HOURS.items() if slot.endswith(name)), 0)
    return day * 86_400.0 + hours * 3600.0 + tick
