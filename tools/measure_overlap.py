#!/usr/bin/env python
"""Travel times learned between views that overlap, on real tracks with simulated embeddings.

tools/measure_overlap.py campus_auditorium_5hz.csv.gz [--seeds 1 2 3] [--noise 1.0] [--occluded]

The file has a row a box: view, track_id, frame (30 a second), xmin, ymin, xmax, ymax, occluded.
Boxes go through the tracker at its default settings, with their tracks: those that are not
occluded, or all. The embeddings' laws are those of tools/simulate_embeddings.py. For each camera
pair: how many people the two views see at one time (by the tracks), the verdict, its best buddies,
the share of them with no time in between, the median of their travel times, and where the learned
travel-time probability P_t peaks (that of all pairs with too little data together, for each).
"""

from __future__ import annotations

import argparse
import csv
import gzip
from pathlib import Path

import numpy as np

from stgal_stream.core.calibration.model import Calibration
from stgal_stream.core.tracker.site_tracker import SiteTracker
from stgal_stream.experiments.simulation.embeddings import EmbeddingLaw, simulate_embeddings
from stgal_stream.settings import TrackerSettings
from stgal_stream.types import Box, Detection

FRAMES_PER_S = 30.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tracks", type=Path)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--noise", type=float, default=1.0)
    parser.add_argument("--occluded", action="store_true")
    args = parser.parse_args()
    with gzip.open(args.tracks, "rt") as lines:
        rows = [row for row in csv.DictReader(lines) if args.occluded or row["occluded"] == "0"]
    rows.sort(key=lambda row: (int(row["frame"]), row["view"], row["track_id"]))
    seen = {(row["view"], row["track_id"], row["frame"]) for row in rows}
    print(
        "| seed | cameras | at once | verdict | buddies | with no gap | median, s | P_t peaks, s |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for seed in args.seeds:
        report(seed, track(rows, EmbeddingLaw(visit=args.noise, image=args.noise), seed), seen)


def track(rows: list[dict[str, str]], law: EmbeddingLaw, seed: int) -> Calibration | None:
    """The calibration in force when all boxes went through the tracker."""
    person = np.array([int(row["track_id"]) + 1 for row in rows])
    camera = np.unique([row["view"] for row in rows], return_inverse=True)[1]
    times = np.array([int(row["frame"]) / FRAMES_PER_S for row in rows])
    vectors = simulate_embeddings(person, camera, times, law, seed)
    tracker = SiteTracker("overlap", TrackerSettings())
    for i, row in enumerate(rows):
        box = Box(*(float(row[side]) for side in ("xmin", "ymin", "xmax", "ymax")))
        tracker.observe(
            Detection(
                f"{i}", row["view"], float(times[i]), vectors[i], "simulated", row["track_id"], box
            )
        )
    tracker.tick(float(times.max()) + 1000.0)
    return tracker.window.scorer.calibration


def report(seed: int, found: Calibration | None, seen: set[tuple[str, str, str]]) -> None:
    """A line for every pair of two cameras."""
    if found is None:
        return
    for pair, model in found.pairs.items():
        if pair[0] == pair[1]:
            continue
        people = {
            who for view, who, frame in seen if view == pair[0] and (pair[1], who, frame) in seen
        }
        times = np.array(model.distribution.times_s)
        at_once = f"{(times == 0).mean():.2f}" if len(times) else "-"
        median = f"{np.median(times):.0f}" if len(times) else "-"
        learned = model.p_travel
        peak = "-" if learned is None else f"{found.grid.centres_s()[learned.argmax()]:.1f}"
        verdict, n = model.link.value, model.n_buddies
        cells = (seed, "-".join(pair), len(people), verdict, n, at_once, median, peak)
        print(f"| {' | '.join(map(str, cells))} |")


if __name__ == "__main__":
    main()
