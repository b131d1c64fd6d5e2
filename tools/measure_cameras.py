#!/usr/bin/env python3
"""What a detection costs by the number of cameras, at the same traffic, and in a flood of ids.

    tools/measure_cameras.py             8,000 detections, a minute or two
    tools/measure_cameras.py --n 4000

Simulated people without any order of place: the worst case, since nothing is learned. The flood
names a new camera with every record, as a producer does that writes a random id there. CPU seconds
are of one core, in one run; the ratio to the first row is what counts.
"""

from __future__ import annotations

import time
from collections import Counter

import click
import numpy as np
from threadpoolctl import threadpool_limits

from stgal_stream.core.tracker.site_tracker import SiteTracker
from stgal_stream.settings import TrackerSettings
from stgal_stream.types import AssociationEvent, Detection, Refusal

_DIM = 32
_EVERY_S = 0.2
FLOOD = 0  # cameras: a new one with every record


def cost(n: int, n_cameras: int, seed: int) -> tuple[float, Counter[str]]:
    """CPU seconds of n detections, and how many were refused and associated."""
    rng = np.random.default_rng(seed)
    people = rng.normal(size=(n // 4, _DIM))
    tracker, seen = SiteTracker("bench", TrackerSettings()), Counter[str]()
    started = time.process_time()
    for i in range(n):
        camera = f"u{i}" if n_cameras == FLOOD else f"c{rng.integers(n_cameras)}"
        look = people[rng.integers(len(people))] + 0.5 * rng.normal(size=_DIM)
        at_s = 1e6 + _EVERY_S * i
        for event in tracker.observe(
            Detection(f"d{i}", camera, at_s, look.astype(np.float32), "x", str(i))
        ):
            seen["refused"] += isinstance(event, Refusal)
            seen["associated"] += isinstance(event, AssociationEvent)
    return time.process_time() - started, seen


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--n", default=8_000, show_default=True, help="Detections.")
@click.option("--seed", default=1, show_default=True)
def main(n: int, seed: int) -> None:
    """Measure the cost by the number of cameras."""
    click.echo(f"{'cameras':>12} {'CPU s':>7} {'ratio':>6} {'refused':>8} {'associated':>11}")
    first = None
    for n_cameras in (20, 60, 100, 400, 1_000, FLOOD):
        with threadpool_limits(1):
            seconds, seen = cost(n, n_cameras, seed)
        first = first or seconds
        name = str(n_cameras) if n_cameras != FLOOD else f"{n} (flood)"
        click.echo(
            f"{name:>12} {seconds:7.1f} {seconds / first:6.2f} {seen['refused']:8d} "
            f"{seen['associated']:11d}"
        )


if __name__ == "__main__":
    main()
