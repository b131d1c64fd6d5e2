"""``stgal-stream run``: the daemon, or the same pipeline over a file."""

from __future__ import annotations

import json
import logging
import tempfile
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import click
from rich.console import Console

from stgal_stream.commands.detection_file import load_into
from stgal_stream.commands.options import (
    broker_list,
    config_option,
    log_options,
    set_up_logging,
    stop_on_signals,
)
from stgal_stream.commands.progress import LoggedProgress, StreamProgress
from stgal_stream.configuration import load_config
from stgal_stream.daemon import Daemon, open_log
from stgal_stream.errors import ConfigError, DataError
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.port import Log
from stgal_stream.log.reading import values
from stgal_stream.log.topics import topic_specs
from stgal_stream.settings import METHODS, Config
from stgal_stream.wire.mapping import Mapping

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
@click.option("--from", "source", type=click.Path(path_type=Path), help="Detections, JSON Lines.")
@click.option(
    "--to", "target", type=click.Path(path_type=Path), help="Identity events, JSON Lines."
)
@click.option("--mapping", type=click.Path(path_type=Path), help="Write a CSV row per detection.")
@click.option("--dead-letters", type=click.Path(path_type=Path), help="Write unusable records.")
@click.option(
    "--associations", type=click.Path(path_type=Path), help="Write pseudo-pairs, JSON Lines."
)
@click.option("--method", "--setting", "method", type=click.Choice(METHODS))
@click.option("--model", type=click.Path(path_type=Path), help="ONNX extractor.")
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
    set_up_logging(config.daemon.log_level)
    if source is None:
        if target or mapping or dead_letters or associations:
            raise ConfigError("--to, --mapping, --dead-letters, --associations go with --from")
        _run_daemon(config, brokers, embedded, stage, until_end)
        return
    if target is None:
        raise ConfigError("--from needs --to", hint="name the file for the identity events")
    if brokers or embedded or stage != "all":
        raise ConfigError(
            "--from runs all stages by itself, without --brokers, --embedded, --stage"
        )
    _run_file(config, source, _Files(target, mapping, dead_letters, associations))


def _run_daemon(
    config: Config, brokers: str, embedded: Path | None, stage: str, until_end: bool
) -> None:
    log = open_log(config, brokers=broker_list(brokers), embedded=embedded)
    try:
        daemon = Daemon(log, config, stage)
        with stop_on_signals(daemon.stop):
            end = _set_event() if until_end else None
            daemon.run(end=end, on_progress=LoggedProgress(daemon).update)
        logger.info("stopped cleanly")
    finally:
        log.close()


@dataclass(frozen=True, slots=True)
class _Files:
    """Where the results of a file go."""

    target: Path
    mapping: Path | None
    dead_letters: Path | None
    associations: Path | None


def _run_file(config: Config, source: Path, files: _Files) -> None:
    """The pipeline on a log of its own, which goes away with the run."""
    logging.getLogger("stgal_stream").setLevel(logging.WARNING)
    wanted = (files.target, files.mapping, files.dead_letters, files.associations)
    for path in filter(None, wanted):
        if not path.parent.is_dir():
            raise DataError(f"{path.parent} is not a directory")
    # A file was not appended when its detections happened, so nothing in it is "future".
    config.embed.max_future_s = float("inf")
    with tempfile.TemporaryDirectory(prefix="stgal-") as scratch:
        config.daemon.state_dir = str(Path(scratch) / "state")
        log = EmbeddedLog(Path(scratch) / "log")
        log.ensure_topics(topic_specs(config))
        console = Console(stderr=True)
        n = load_into(log, config.topics.detections, source, console)
        daemon = Daemon(log, config)
        with StreamProgress(console, daemon, n) as progress, stop_on_signals(daemon.stop):
            daemon.run(end=_set_event(), serve=False, on_progress=progress.update)
        if daemon.stop.is_set() and not daemon.finished:
            raise click.Abort
        _write_results(config, log, console, files)
        log.close()


def _write_results(config: Config, log: Log, console: Console, files: _Files) -> None:
    found = Mapping()
    try:
        with files.target.open("wb") as out:
            for value in values(log, config.topics.identities):
                out.write(value + b"\n")
                found.take(json.loads(value))
        if files.mapping is not None:
            found.write(files.mapping)
        refused = list(values(log, config.topics.dead_letters))
        if files.dead_letters is not None:
            files.dead_letters.write_bytes(b"".join(value + b"\n" for value in refused))
        if files.associations is not None:
            with files.associations.open("wb") as out:
                out.writelines(v + b"\n" for v in values(log, config.topics.associations))
    except OSError as error:
        raise DataError(f"{error.filename} cannot be written: {error.strerror}") from error
    identities = {row.global_id for row in found}
    console.print(
        f"{len(found)} detections, {len(identities)} identities, {found.n_renames} renames, "
        f"{len(refused)} unusable records -> {files.target}"
    )
    reasons: dict[str, int] = {}
    for value in refused:
        reason = json.loads(value)["reason"]
        reasons[reason] = reasons.get(reason, 0) + 1
    for reason, count in sorted(reasons.items()):
        console.print(f"  unusable: {count} {reason}")


def _set_event() -> threading.Event:
    """An end that has come already: what is in the log is all there will be."""
    event = threading.Event()
    event.set()
    return event
