#!/usr/bin/env python3
"""A site larger than one process: cost and wrong joins by the number of parts (docs/scale.md).

    tools/measure_scale.py                       10,000 cameras, an hour of CPU time
    tools/measure_scale.py --side 10 --people 300 --parts 1 --parts 4      a minute

A simulated city of side x side cameras is cut into parts by the graph that its sightings show, the
hours before included; each part runs through the tracker that a site has, and what the parts say is
joined. Parts run side by side on all cores. CPU seconds are of the trackers alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import click
import numpy as np
from threadpoolctl import threadpool_limits

from stgal_stream.evaluation.stream_quality import idf1, pair_quality
from stgal_stream.experiments.scaling.camera_graph import camera_graph
from stgal_stream.experiments.scaling.city import Sightings, city
from stgal_stream.experiments.scaling.hand_over import NOBODY, hand_over
from stgal_stream.experiments.scaling.part import Tracked, track
from stgal_stream.experiments.scaling.partition import Parts, partition

_WALK_S = 120.0


def tracked(seen: Sightings, rows: list[np.ndarray], window_s: float) -> Iterator[Tracked]:
    """Each part's sightings through a tracker, a process a part."""
    with ProcessPoolExecutor(initializer=threadpool_limits, initargs=(1,)) as pool:
        jobs = [pool.submit(track, seen[mine], window_s) for mine in rows]
        for job in jobs:
            yield job.result()


def measure(seen: Sightings, parts: Parts, window_s: float) -> str:
    """One row of the table."""
    rows = [np.flatnonzero(reads[seen.camera]) for reads in parts.reads]
    said, cpu_s, windows = [], 0.0, []
    with click.progressbar(
        tracked(seen, rows, window_s), length=len(rows), label=f"{len(rows)} parts", file=sys.stderr
    ) as bar:
        for mine, found in zip(rows, bar, strict=True):
            words = np.full(len(seen), NOBODY)
            words[mine] = found.identity
            said.append(words)
            cpu_s += found.cpu_s
            windows.append(found.largest_window)
    owner = parts.owner[seen.camera]
    joined, alone = hand_over(said, owner), _unjoined(said, owner)
    people, cameras = seen.person.tolist(), seen.camera.tolist()
    quality, apart = (pair_quality(ids.tolist(), people, cameras) for ids in (joined, alone))
    return (
        f"| {len(rows)} | {parts.overlap:.2f} | {max(windows):,} "
        f"| {1e3 * cpu_s / len(seen):.2f} | {1 - quality.precision:.4f} | {quality.recall:.3f} "
        f"| {apart.recall:.3f} | {idf1(joined.tolist(), people):.3f} |"
    )


def _unjoined(said: list[np.ndarray], owner: np.ndarray) -> np.ndarray:
    """What the owners say, without a hand-over."""
    sizes = np.cumsum([0, *(int(words.max(initial=NOBODY)) + 1 for words in said)])
    return np.asarray(np.stack(said)[owner, np.arange(len(owner))] + sizes[owner])


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--side", default=100, show_default=True, help="Cameras on a side of the city.")
@click.option("--people", default=15_000, show_default=True, help="That come in an hour.")
@click.option("--hours", default=1.0, show_default=True, help="That are tracked.")
@click.option("--before", default=3.0, show_default=True, help="Hours before, for the graph.")
@click.option("--noise", default=0.7, show_default=True, help="Of a sighting's look.")
@click.option("--window-s", default=3600.0, show_default=True, help="The trackers' window.")
@click.option("--parts", multiple=True, type=int, default=(64, 256), show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(
    side: int,
    people: int,
    hours: float,
    before: float,
    noise: float,
    window_s: float,
    parts: tuple[int, ...],
    seed: int,
) -> None:
    """Measure cost and wrong joins by the number of parts."""
    everything = city(side, round(people * (before + hours)), before + hours, noise, seed)
    began_s = time.process_time()
    graph = camera_graph(everything, side * side, _WALK_S)
    graph_s = time.process_time() - began_s
    seen = everything[np.flatnonzero(everything.start_s >= before * 3600)]
    click.echo(
        f"{side * side:,} cameras, {2 * side * (side - 1):,} streets, {len(seen):,} sightings of "
        f"{len(np.unique(seen.person)):,} people in {hours:g} h, noise {noise:g}, seed {seed}; the "
        f"graph, from {len(everything):,} sightings: {graph.nnz // 2:,} pairs of cameras, "
        f"{graph_s:.0f} CPU s\n"
    )
    load = np.bincount(seen.camera, minlength=side * side)
    click.echo(
        "| parts | overlap | largest window | CPU ms a sighting | wrong joins | recall "
        "| recall without hand-over | IDF1 |\n|---|---|---|---|---|---|---|---|"
    )
    for n in parts:
        click.echo(measure(seen, partition(graph, load, n), window_s))


if __name__ == "__main__":
    main()
