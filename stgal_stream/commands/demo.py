"""``stgal-stream demo``: the whole main job on a simulated site, measured against the truth."""

from __future__ import annotations

import json
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from stgal_stream.commands.demo_retraining import check_extra, crop_of, second_act
from stgal_stream.commands.live_page import check_page, serve_page
from stgal_stream.commands.options import set_up_logging, stop_on_signals
from stgal_stream.commands.paths import InputFile
from stgal_stream.commands.progress import StreamProgress
from stgal_stream.configuration import simulated_config
from stgal_stream.daemon import Daemon
from stgal_stream.errors import ConfigError, DataError
from stgal_stream.evaluation.stream_quality import StreamQuality, stream_quality
from stgal_stream.experiments import replay as replaying
from stgal_stream.experiments import sending
from stgal_stream.experiments.pages.demo_page import demo_page
from stgal_stream.experiments.rerun import rerun
from stgal_stream.experiments.simulation.site import Label, SimulatedSite, SiteLaw
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.port import Log
from stgal_stream.log.reading import values
from stgal_stream.settings import Config
from stgal_stream.web.access import Access
from stgal_stream.wire.mapping import Mapping

_START_S = datetime(2025, 1, 1, tzinfo=UTC).timestamp()
_EPILOG = """\b
Examples:
  stgal-stream demo
  stgal-stream demo --seed 7 --out my-demo
  stgal-stream demo --retrain
  stgal-stream demo --web
"""


@click.command(epilog=_EPILOG)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("build/demo"), show_default=True
)
@click.option("--seed", default=1, show_default=True, help="Another seed is another site.")
@click.option("--people", default=140, show_default=True, type=click.IntRange(2))
@click.option("--minutes", default=30.0, show_default=True, type=click.FloatRange(2))
@click.option("--model", type=InputFile(), help="Another ONNX extractor.")
@click.option("--retrain", is_flag=True, help="A second act: retrain on it and track again.")
@click.option(
    "--iterations", default=40, show_default=True, type=click.IntRange(1), help="Of --retrain."
)
@click.option("--web", is_flag=True, help="Then look at it in a browser, until Ctrl-C.")
def demo(
    out: Path,
    seed: int,
    people: int,
    minutes: float,
    model: Path | None,
    retrain: bool,
    iterations: int,
    web: bool,
) -> None:
    """Simulate a site, track its people online, and compare with the truth."""
    if web:
        check_page()
    if retrain:
        check_extra()
    set_up_logging("warning")
    console = Console(stderr=True)
    source = SimulatedSite(seed, SiteLaw(n_people=people, duration_s=minutes * 60))
    console.print(
        f"A simulated site (seed {seed}): {len(source.cameras)} cameras, {people} people, "
        f"{len(source)} detections in {minutes:g} minutes of event time."
    )
    _prepare(out)
    config = simulated_config(out / "state", model)
    log = EmbeddedLog(out / "log")
    try:
        seconds = _stream(config, log, source, console)
        summary = _finish(config, log, source, console, out, seed, seconds)
        if retrain:
            labels = {label.detection_id: label for label in source.truth()}

            def figures_of(found: Mapping) -> dict[str, float]:
                return _figures(*_quality(found, labels))

            second_act(config, log, source, summary, figures_of, out, console, iterations)
        if web:
            _show(config, log)
    finally:
        log.close()


def _prepare(out: Path) -> None:
    """An empty directory; one that holds something else than a demo is not touched."""
    if out.exists() and any(out.iterdir()) and not (out / "log").is_dir():
        raise ConfigError(
            f"{out} holds something else than a demo", hint="give --out a new directory"
        )
    try:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
    except OSError as error:
        raise DataError(f"{out} cannot be written to: {error.strerror}") from error


def _stream(config: Config, log: EmbeddedLog, source: SimulatedSite, console: Console) -> float:
    """Cameras publish in one thread while the daemon works; the seconds it took."""
    daemon = Daemon(log, config)
    began_s = time.monotonic()
    sent = threading.Event()
    cameras = threading.Thread(target=_publish, args=(config, log, source, daemon, sent))
    with StreamProgress(console, daemon, len(source)) as progress, stop_on_signals(daemon.stop):
        cameras.start()
        daemon.run(end=sent, serve=False, on_progress=progress.update)
        cameras.join()
    if not daemon.finished:
        raise click.Abort
    return time.monotonic() - began_s


def _publish(
    config: Config, log: Log, source: SimulatedSite, daemon: Daemon, sent: threading.Event
) -> None:
    """The cameras: they render and publish as fast as the machine lets them."""
    sink = sending.LogSink(log, config.topics.detections)
    try:
        replaying.replay(source, sink, start_s=_START_S, stopped=daemon.stop.is_set)
    finally:
        sent.set()


def _finish(
    config: Config,
    log: Log,
    source: SimulatedSite,
    console: Console,
    out: Path,
    seed: int,
    seconds: float,
) -> dict[str, Any]:
    """Files, comparison with the truth and with the baselines, and the page: the summary."""
    identities = [json.loads(v) for v in values(log, config.topics.identities)]
    associations = [json.loads(v) for v in values(log, config.topics.associations)]
    labels = {label.detection_id: label for label in source.truth()}
    found = Mapping()
    with (out / "identities.jsonl").open("w") as lines:
        for event in identities:
            lines.write(json.dumps(event) + "\n")
            found.take(event)
    found.write(out / "mapping.csv")
    replaying.write_truth(source, out / "truth.csv", _START_S)
    qualities = {"calibrated (what ran)": _quality(found, labels)}
    for method in ("paper", "appearance"):
        settings = replace(config.associate, method=method)
        console.print(f"for comparison: the same embeddings by method {method} …")
        qualities[method] = _quality(rerun(log, config.topics.embeddings, settings), labels)
    waits = [row.decided_at_s - _START_S - labels[row.detection_id].time_s for row in found]
    accepted = sum(a["type"] == "accepted" for a in associations)
    summary = {
        "seed": seed,
        "cameras": len(source.cameras),
        "detections": len(source),
        "mapped": len(found),
        "associations_accepted": accepted,
        "associations_withdrawn": len(associations) - accepted,
        "seconds": round(seconds, 1),
        "detections_per_second": round(len(source) / seconds, 1),
        "decision_event_time_s": dict(
            zip(
                ("p50", "p90", "p99"),
                np.quantile(waits, (0.5, 0.9, 0.99)).round(2).tolist(),
                strict=True,
            )
        ),
        "quality": {name: _figures(*quality) for name, quality in qualities.items()},
    }
    (out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    page = demo_page(source, summary, found, identities, associations, crop_of(log))
    (out / "report.html").write_text(page)
    _print(summary, out)
    return summary


def _quality(found: Mapping, labels: dict[str, Label]) -> tuple[StreamQuality, StreamQuality]:
    """The identities as first published and after renames."""
    rows = list(found)
    # A false alarm is nobody: gluing it to anybody is an error.
    people = [p if (p := labels[row.detection_id].person) > 0 else None for row in rows]
    cameras = [labels[row.detection_id].camera for row in rows]
    first = stream_quality([row.first_global_id for row in rows], people, cameras)
    return first, stream_quality([row.global_id for row in rows], people, cameras)


def _figures(first: StreamQuality, final: StreamQuality) -> dict[str, float]:
    """One line of the summary; shares between 0 and 1."""
    return {
        "precision": final.across.precision,
        "recall": final.across.recall,
        "first_precision": first.across.precision,
        "first_recall": first.across.recall,
        "idf1": final.idf1,
        "n_identities": final.n_identities,
    }


def _print(summary: dict[str, Any], out: Path) -> None:
    console = Console()
    waits = summary["decision_event_time_s"]
    console.print(
        f"\n{summary['detections']} detections in {summary['seconds']} s "
        f"({summary['detections_per_second']} a second, rendering included), "
        f"{summary['associations_accepted']} associations "
        f"({summary['associations_withdrawn']} withdrawn later)"
    )
    console.print(
        f"identity known after {waits['p50']} s of event time (median), {waits['p90']} s (p90), "
        f"{waits['p99']} s (p99)"
    )
    table = Table(title="Identities against the truth of the simulation (pairs across cameras)")
    for name in (
        "method",
        "precision",
        "recall",
        "first prec.",
        "first recall",
        "IDF1",
        "ids",
    ):
        table.add_column(name, justify="left" if name == "method" else "right")
    for name, figures in summary["quality"].items():
        *shares, n_identities = figures.values()
        table.add_row(name, *(f"{v:.3f}" for v in shares), str(n_identities))
    console.print(table)
    console.print(f"identities   {out / 'identities.jsonl'}\nmapping      {out / 'mapping.csv'}")
    console.print(f"truth        {out / 'truth.csv'}\nsummary      {out / 'summary.json'}")
    console.print(f"[bold]look at     {out / 'report.html'}[/bold]")


def _show(config: Config, log: EmbeddedLog) -> None:
    """The live page on the demo's log; the tracker goes on, and obeys what is said there."""
    directory = Path(config.daemon.state_dir) / "web"
    releases = config.releases_folder(log.directory)
    host, stop = "127.0.0.1", threading.Event()
    daemon = Daemon(log, config, "associate")
    with ThreadPoolExecutor(1) as threads:
        tracking = threads.submit(daemon.run, serve=False)
        tracking.add_done_callback(lambda _: stop.set())
        try:
            serve_page(log, config, directory, releases, (host, 0), Access.on(host, None), stop)
        finally:
            daemon.stop.set()
    tracking.result()
