"""The demo's second act: a short retraining on what the first has just seen, and the same
detections tracked again by the new extractor."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from stgal_stream.commands.options import stop_on_signals, train_extra
from stgal_stream.commands.progress import StepBars, StreamProgress, counted
from stgal_stream.configuration import simulated_config
from stgal_stream.daemon import Daemon
from stgal_stream.experiments.pages.demo_page import demo_page
from stgal_stream.experiments.simulation.site import SimulatedSite
from stgal_stream.extractor.onnx import SHIPPED, OnnxExtractor
from stgal_stream.extractor.releases import Releases
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.port import Log, NewRecord
from stgal_stream.log.reading import records, values
from stgal_stream.log.topics import topic_specs
from stgal_stream.settings import Config
from stgal_stream.wire.mapping import Mapping

_CHUNK = 500
Figures = dict[str, float]


def check_extra() -> None:
    """Minutes of work must not end in a package that is missing.

    Raises:
        ConfigError: it is.
    """
    with train_extra("--retrain"):
        import torch  # noqa: F401


def second_act(
    config: Config,
    log: EmbeddedLog,
    source: SimulatedSite,
    summary: dict[str, Any],
    figures_of: Callable[[Mapping], Figures],
    out: Path,
    console: Console,
    iterations: int,
) -> None:
    """Trains, tracks again, prints before and after, and draws ``after.html``."""
    outcome = _retrain(config, log, out, console, iterations)
    release, result = outcome.release, outcome.result
    if release is None or result is None:
        raise click.Abort
    after = simulated_config(
        out / "after" / "state", Releases(out / "releases").model(release.version)
    )
    again = EmbeddedLog(out / "after" / "log")
    try:
        again.ensure_topics(topic_specs(after))
        _copy(log, again, config.topics.detections)
        _track(after, again, len(source), console)
        identities = [json.loads(v) for v in values(again, after.topics.identities)]
        associations = [json.loads(v) for v in values(again, after.topics.associations)]
        found = Mapping()
        for event in identities:
            found.take(event)
        found.write(out / "after" / "mapping.csv")
        before = summary["quality"]["calibrated (what ran)"]
        quality = {"before retraining": before, "after retraining": figures_of(found)}
        said = f"gate {'passed' if result.passed else 'refused'}: {result.reason}"
        what = {"release": release.version, "pairs": release.data["pairs"], "said": said}
        shown = {**summary, "quality": quality}
        page = demo_page(source, shown, found, identities, associations, crop_of(again))
    finally:
        again.close()
    (out / "after.html").write_text(page)
    summary["retraining"] = {**what, "iterations": iterations, "quality": quality}
    (out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    _print(quality, what, iterations, out)


def crop_of(log: Log) -> Callable[[dict[str, Any]], bytes]:
    """Gives the crop of a detection by its place in the log."""

    def crop(at: dict[str, Any]) -> bytes:
        record = log.read(at["topic"], at["partition"], at["offset"], 1)[0]
        return base64.b64decode(json.loads(record.value)["crop"]["data"])

    return crop


def _retrain(config: Config, log: Log, out: Path, console: Console, iterations: int) -> Any:
    from stgal_stream.retraining.data.sources import LogSource
    from stgal_stream.retraining.job import Job
    from stgal_stream.retraining.job_settings import JobSettings
    from stgal_stream.training.peers import Peers
    from stgal_stream.training.trainer import TrainingSettings

    console.print(f"second act: {iterations} iterations of retraining on the demo's own log …")
    model = Path(config.embed.model) if config.embed.model else SHIPPED
    peers = Peers.alone()
    baseline = OnnxExtractor(model, eight_bit=False)
    job = Job(LogSource(log, config.topics), baseline, Releases(out / "releases"), peers)
    training = TrainingSettings(
        iterations=iterations, precision=peers.precision_of("auto", baseline.form)
    )
    settings = JobSettings(training, promote=False)
    stop = threading.Event()
    with counted(console) as bars, stop_on_signals(stop):
        return job.run(settings, stop, StepBars(bars).say)


def _copy(log: Log, target: Log, topic: str) -> None:
    """The same detections, in the same order and partitions."""
    for partition in range(log.partitions(topic)):
        found = records(log, topic, partition)
        while chunk := list(islice(found, _CHUNK)):
            target.append([NewRecord(topic, r.key, r.value, r.headers, partition) for r in chunk])


def _track(config: Config, log: EmbeddedLog, total: int, console: Console) -> None:
    daemon = Daemon(log, config)
    sent = threading.Event()
    sent.set()
    console.print("the same detections under the new extractor …")
    with StreamProgress(console, daemon, total) as progress, stop_on_signals(daemon.stop):
        daemon.run(end=sent, serve=False, on_progress=progress.update)
    if not daemon.finished:
        raise click.Abort


def _print(quality: dict[str, Figures], what: dict[str, Any], iterations: int, out: Path) -> None:
    console = Console()
    console.print(
        f"\n{what['release']}: {iterations} iterations on {what['pairs']} pseudo-pairs; "
        f"{what['said']}"
    )
    table = Table(title="Identities before and after (pairs across cameras, simulated people)")
    for name in ("", "precision", "recall", "IDF1", "ids"):
        table.add_column(name, justify="right" if name else "left")
    for name, q in quality.items():
        shares = (q["precision"], q["recall"], q["idf1"])
        table.add_row(name, *(f"{v:.3f}" for v in shares), str(q["n_identities"]))
    console.print(table)
    console.print(f"[bold]look at     {out / 'after.html'}[/bold]")
