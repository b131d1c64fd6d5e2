"""``stgal-stream run``: the daemon, or the same pipeline over a file."""

from __future__ import annotations

import logging
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console

from stgal_stream.commands.detection_file import load_into
from stgal_stream.commands.file_results import (
    FileResults,
    ResultFiles,
    check_usable,
    write_somewhere,
)
from stgal_stream.commands.options import (
    broker_list,
    config_option,
    format_option,
    log_options,
    set_up_logging,
    stop_on_signals,
    time_option,
)
from stgal_stream.commands.paths import InputFile, OutputFile, OutputFolder
from stgal_stream.commands.progress import LoggedProgress, StreamProgress
from stgal_stream.configuration import load_config
from stgal_stream.daemon import Daemon, open_log
from stgal_stream.errors import ConfigError, DataError
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.topics import topic_specs
from stgal_stream.settings import ARRIVAL, METHODS, PRESETS, Config

logger = logging.getLogger(__name__)

_EPILOG = """\b
Examples:
  stgal-stream run --brokers localhost:9092
  stgal-stream run --embedded stgal-log --until-end
  stgal-stream run --from detections.jsonl --to identities.jsonl --mapping mapping.csv
"""


@click.command(epilog=_EPILOG)
@log_options
@config_option
@click.option(
    "--stage", type=click.Choice(["all", "embed", "associate"]), default="all", show_default=True
)
@click.option("--until-end", is_flag=True, help="Stop at the log's end; the stream is over then.")
@click.option("--from", "source", type=InputFile(), help="Detections, JSON Lines.")
@click.option("--to", "target", type=OutputFile(), help="Identity events, JSON Lines.")
@click.option("--mapping", type=OutputFile(), help="Write a CSV row per detection.")
@click.option("--dead-letters", type=OutputFile(), help="Write unusable records.")
@click.option("--associations", type=OutputFile(), help="Write pseudo-pairs, JSON Lines.")
@click.option("--method", "--setting", "method", type=click.Choice(METHODS))
@click.option("--model", type=InputFile(), help="ONNX extractor.")
@click.option("--mot", type=OutputFolder(), help="Write MOTChallenge files into a new folder.")
@click.option(
    "--fps", default=25.0, show_default=True, type=click.FloatRange(0.001, 1000), help="Of --mot."
)
@click.option("--first-frame", help="Of --mot: time of frame 1; default: the earliest box's.")
@click.option(
    "--max-unusable",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    help="With --from: end with an error where a larger share of records cannot be used.",
)
@click.option(
    "--preset",
    type=click.Choice(PRESETS),
    help="Preprocessing of a model that does not describe itself.",
)
@click.option(
    "--no-crops",
    is_flag=True,
    help="Embedded log: a picture is deleted once it is embedded. As embed.keep_crops = false.",
)
@format_option
def run(
    brokers: str,
    embedded: Path | None,
    config_path: Path | None,
    stage: str,
    until_end: bool,
    source: Path | None,
    target: Path | None,
    mapping: Path | None,
    dead_letters: Path | None,
    associations: Path | None,
    method: str | None,
    model: Path | None,
    mot: Path | None,
    fps: float,
    first_frame: str | None,
    max_unusable: float,
    preset: str | None,
    no_crops: bool,
    format_: str | None,
) -> None:
    """Track people: a daemon on Kafka or on an embedded log, or a file from end to end.

    Cameras are discovered by themselves; a site needs no configuration. SIGTERM and Ctrl-C stop
    cleanly: what is in work is committed, and the next start goes on from there.
    """
    config = load_config(config_path)
    if method is not None:
        config.associate = replace(config.associate, method=method)
    if model is not None:
        config.embed.model = str(model)
    if preset is not None:
        config.embed.preset = preset
    if no_crops:
        config.embed.keep_crops = False
    if format_ is not None:
        config.input.format = format_
    set_up_logging(config.daemon.log_level)
    if source is None:
        if target or mapping or dead_letters or associations or mot or max_unusable < 1:
            raise ConfigError(
                "--to, --mapping, --dead-letters, --associations, --mot and --max-unusable go with "
                "--from"
            )
        _run_daemon(config, brokers, embedded, stage, until_end)
        return
    if target is None:
        raise ConfigError("--from needs --to", hint="name the file for the identity events")
    if brokers or embedded or stage != "all":
        raise ConfigError(
            "--from runs all stages by itself, without --brokers, --embedded, --stage"
        )
    if first_frame is not None and mot is None:
        raise ConfigError("--first-frame goes with --mot")
    frame_1_s = None if first_frame is None else time_option("--first-frame", first_frame)
    files = ResultFiles(target, mapping, dead_letters, associations, mot, fps, frame_1_s)
    _run_file(config, source, files, max_unusable)


def _run_daemon(
    config: Config, brokers: str, embedded: Path | None, stage: str, until_end: bool
) -> None:
    if embedded is not None and not embedded.exists():
        if until_end:
            raise DataError(
                f"there is no embedded log at {embedded}",
                hint="replay --embedded DIR writes one; without --until-end a new one is made",
            )
        logger.warning("there was no embedded log at %s: a new, empty one is made", embedded)
    log = open_log(config, brokers=broker_list(brokers), embedded=embedded)
    try:
        daemon = Daemon(log, config, stage)
        with stop_on_signals(daemon.stop):
            end = _set_event() if until_end else None
            daemon.run(end=end, on_progress=LoggedProgress(daemon).update)
        logger.info("stopped cleanly")
    finally:
        log.close()


def _run_file(config: Config, source: Path, files: ResultFiles, max_unusable: float) -> None:
    """The pipeline on a log of its own, which goes away with the run."""
    if config.input.stream_start == ARRIVAL:
        raise ConfigError(
            "input.stream_start is `arrival`, but what is in a file does not arrive",
            hint="give the time at which the streams began, as 2026-01-31T12:00:00Z",
        )
    logging.getLogger("stgal_stream").setLevel(logging.WARNING)
    # A file was not appended when its detections happened, so nothing in it is "future".
    config.input.max_future_s = float("inf")
    with tempfile.TemporaryDirectory(prefix="stgal-") as scratch:
        config.daemon.state_dir = str(Path(scratch) / "state")
        log = EmbeddedLog(Path(scratch) / "log")
        log.ensure_topics(topic_specs(config))
        console = Console(stderr=True)
        n = load_into(log, config.topics.detections, source, config.input, console)
        daemon = Daemon(log, config)
        with StreamProgress(console, daemon, n) as progress, stop_on_signals(daemon.stop):
            daemon.run(end=_set_event(), serve=False, on_progress=progress.update)
        if daemon.stop.is_set() and not daemon.finished:
            raise click.Abort
        results = FileResults.of(config, log, with_boxes=files.mot is not None)
        log.close()
    write_somewhere(results, files)
    results.print(console, files.target)
    check_usable(results, source, n, max_unusable)


def _set_event() -> threading.Event:
    """An end that has come already: what is in the log is all there will be."""
    event = threading.Event()
    event.set()
    return event
