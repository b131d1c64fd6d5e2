"""``stgal-stream retrain``: a better extractor from what the stream said about itself."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from stgal_stream.commands.options import (
    LOSS_NAMES,
    SEED,
    FiniteRange,
    batch_pairs_option,
    config_option,
    log_options,
    precision_option,
    stop_on_signals,
    train_extra,
)
from stgal_stream.commands.pair_source import pair_options, source_of
from stgal_stream.commands.paths import InputFile
from stgal_stream.commands.progress import StepBars, counted
from stgal_stream.commands.quantise import said_of
from stgal_stream.commands.recipe import recipe_option, training_settings
from stgal_stream.configuration import load_config
from stgal_stream.errors import ConfigError, StgalError
from stgal_stream.extractor.onnx import OnnxExtractor
from stgal_stream.extractor.releases import Release, Releases

if TYPE_CHECKING:  # torch, which an edge server lacks
    from stgal_stream.extractor.crops import CropFormat
    from stgal_stream.retraining.gate import GateResult
    from stgal_stream.retraining.job_settings import JobSettings
    from stgal_stream.training.peers import Peers
    from stgal_stream.training.trainer import TrainingSettings

_EPILOG = """\b
Examples:
  stgal-stream retrain --embedded stgal-log --out releases
  stgal-stream retrain --brokers localhost:9092 --out releases --iterations 300 --crop-size 128 64
  stgal-stream retrain --embedded stgal-log --out releases --resume
  stgal-stream retrain --embedded stgal-log --out releases --within-cameras
  stgal-stream retrain --pairs associations.jsonl --crops crops --out releases
  torchrun --nproc-per-node 2 --no-python stgal-stream retrain --embedded stgal-log
"""


@click.command(epilog=_EPILOG)
@log_options
@config_option
@pair_options
@click.option("--baseline", type=InputFile(), help="ONNX to start from.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of releases; else embed.releases, else in the log's directory.",
)
@click.option(
    "--within-cameras",
    is_flag=True,
    help="Train on what each camera alone tells apart (Baseline B): needs no pairs yet.",
)
@recipe_option
@click.option("--loss", type=click.Choice(LOSS_NAMES), help="Default: the recipe's.")
@click.option(
    "--iterations",
    type=click.IntRange(min=1),
    help="Default: 800 (within cameras: 150; recipe paper: 30,000); more where time allows.",
)
@click.option("--learning-rate", type=FiniteRange(0, 1e30, min_open=True))
@batch_pairs_option
@click.option(
    "--parts",
    type=click.IntRange(1, 64),
    help="A batch is normalised in so many parts, each by one process; what comes of a training "
    "depends on them, and not on the processes.  [default: 2, or one a process]",
)
@click.option(
    "--crop-size",
    nargs=2,
    type=click.IntRange(16, 1024),
    metavar="HEIGHT WIDTH",
    help="Of the release, in pixels; default: the baseline's. Smaller ones train faster on a CPU.",
)
@click.option(
    "--max-tracklets",
    "--most",
    "max_tracklets",
    default=20_000,
    show_default=True,
    type=click.IntRange(min=100),
    help="Use the newest so many tracklets.",
)
@click.option(
    "--weighted/--unweighted",
    default=None,
    help="Draw pairs in proportion to their posterior (default; recipe paper: all alike).",
)
@precision_option
@click.option("--seed", default=0, show_default=True, type=SEED)
@click.option("--held-out", default=0.3, show_default=True, type=FiniteRange(0.1, 0.9))
@click.option("--min-pairs", default=100, show_default=True, type=click.IntRange(min=2))
@click.option("--promote/--no-promote", default=True, help="Promote it if it passes the gate.")
@click.option("--resume", is_flag=True, help="Go on with a retraining that was stopped.")
def retrain(
    brokers: str,
    embedded: Path | None,
    config_path: Path | None,
    pairs: Path | None,
    crops: Path | None,
    baseline: Path | None,
    out: Path | None,
    parts: int | None,
    **options: Any,
) -> None:
    """Train the extractor on the pairs that the stream found, without a label.

    Reads the daemon's outputs and, by offset, the crops; judges the result at times that training
    did not see; writes a release and promotes it if it is better. Running daemons change over to
    it by themselves. From --pairs and --crops nothing is promoted: models promote does that. Under
    torchrun several processes (GPUs, machines) train one network, as one would.
    """
    with train_extra("retrain"):
        from stgal_stream.retraining.job import Job
        from stgal_stream.training.peers import Peers
    config = load_config(config_path)
    options["promote"] = options["promote"] and pairs is None
    stop = threading.Event()
    with (
        source_of(config, brokers, embedded, pairs, crops) as (source, in_use),
        Peers.joined() as peers,
    ):
        console = Console(stderr=True, quiet=not peers.leads)
        folder = out or config.releases_folder(embedded)
        path = baseline or peers.agree(lambda: in_use(Releases(folder)))
        # In floats, as the candidate is judged: the gate compares nothing else.
        extractor = OnnxExtractor(path, providers=config.embed.providers, eight_bit=False)
        settings = _job_settings(
            options, parts, peers, extractor.form, eight_bit=config.embed.eight_bit
        )
        console.print(_plan(extractor.version, settings.training, peers))
        job = Job(source, extractor, Releases(folder), peers)
        try:
            with counted(console) as bars, stop_on_signals(stop):
                outcome = job.run(settings, stop, StepBars(bars).say)
        except StgalError as error:
            if peers.leads:
                raise
            raise SystemExit(error.exit_code) from error  # said once, not by every process
    if not peers.leads and not stop.is_set():
        return
    if outcome.release is None or outcome.result is None:
        console.print(
            "stopped; --resume goes on from here"
            if job.can_go_on
            else "stopped before there was anything to go on from"
        )
        raise click.Abort
    _say(outcome.release, outcome.result, outcome.promoted, folder)


def _job_settings(
    options: dict[str, Any],
    parts: int | None,
    peers: Peers,
    form: CropFormat,
    *,
    eight_bit: bool,
) -> JobSettings:
    """What was asked for, as this machine and its processes can do it."""
    from stgal_stream.retraining.job_settings import JobSettings

    training = training_settings(
        options["recipe"],
        options["seed"],
        options["precision"],
        within_cameras=options["within_cameras"],
        loss=options["loss"],
        iterations=options["iterations"],
        learning_rate=options["learning_rate"],
        n_pairs=options["batch_pairs"],
        weighted=options["weighted"],
    )
    if parts is not None and parts < peers.size:
        raise ConfigError(f"--parts {parts} is too few for {peers.size} processes")
    height_px, width_px = options["crop_size"] or (form.height_px, form.width_px)
    form = replace(form, height_px=height_px, width_px=width_px)
    training = replace(
        training,
        n_parts=parts or max(training.n_parts, peers.size),
        precision=peers.precision_of(training.precision, form),
    )
    return JobSettings(
        training,
        held_out=options["held_out"],
        max_tracklets=options["max_tracklets"],
        crop_size=options["crop_size"],
        min_pairs=options["min_pairs"],
        promote=options["promote"],
        resume=options["resume"],
        within_cameras=options["within_cameras"],
        eight_bit=eight_bit,
    )


def _plan(baseline: str, training: TrainingSettings, peers: Peers) -> str:
    return (
        f"baseline {baseline}; {training.iterations} iterations, {training.loss}; "
        f"{peers.size} x {peers.device.type}, {training.precision}, "
        f"batches in {training.n_parts} parts"
    )


def _say(release: Release, result: GateResult, promoted: bool, folder: Path) -> None:
    """What came of it, line by line."""
    is_within = release.settings["within_cameras"]
    on = "tracks within cameras" if is_within else f"{release.data['pairs']} pairs"
    height, width = release.settings["crop_size"]
    click.echo(f"release {release.version}: {on}, crops of {height} x {width}, {folder}")
    if release.data["left_out"]:
        click.echo(f"  left out   {_listed(release.data['left_out'])}")
    for name, judged in (("baseline", result.baseline), ("candidate", result.candidate)):
        right, apart = (
            "-" if share is None else f"{share:.3f}"
            for share in (judged.expected_precision, judged.separation)
        )
        click.echo(
            f"  {name:<10} log score {judged.log_score:.3f}, {judged.n_buddies} best buddies "
            f"({right} expected right), separation {apart}"
        )
    click.echo(f"  8 bits     {said_of(release.variant)}")
    click.echo(f"gate: {'passed' if result.passed else 'refused'}, {result.reason}")
    click.echo("promoted" if promoted else "not promoted")


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {what.replace('_', ' ')}" for what, n in sorted(counts.items()))
