"""``stgal-stream replay``: data sets, schedules and simulated sites as a timestamped stream."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from stgal_stream.commands.detection_file import DetectionFile
from stgal_stream.commands.options import (
    broker_list,
    config_option,
    format_option,
    log_options,
    stop_on_signals,
    time_option,
)
from stgal_stream.commands.paths import InputFile, OutputFile
from stgal_stream.commands.progress import counted
from stgal_stream.configuration import load_config
from stgal_stream.daemon import make_missing_topics, open_log
from stgal_stream.errors import ConfigError
from stgal_stream.evaluation.datasets import load_dataset
from stgal_stream.experiments import replay as core
from stgal_stream.experiments import sending
from stgal_stream.experiments.simulation.schedule import (
    ScheduledPeople,
    read_schedule,
    write_dataset,
)
from stgal_stream.experiments.simulation.site import SimulatedSite, SiteLaw
from stgal_stream.settings import Config

OnSent = Callable[[int], None]
_START = "2025-01-01T00:00:00Z"


@click.group()
def replay() -> None:
    """Send a data set, a schedule, a simulated site or a recording as a stream of detections.

    Distractors and junk are sent as unlabelled traffic; labels never leave through the stream.
    A replay that was stopped goes on with --resume.
    """


_speed_option = click.option("--speed", default=0.0, help="Times real time; 0: as fast as it goes.")
_resume_option = click.option(
    "--resume", is_flag=True, help="Go on where the same replay was stopped."
)


def _target_options(command: Callable[..., Any]) -> Callable[..., Any]:
    options = (
        click.option("--to", "target", type=OutputFile(), help="JSON Lines file."),
        _speed_option,
        click.option("--start", default=_START, show_default=True, help="Event time of the first."),
        click.option("--site", default=None, help="Name of the site in the detections."),
        click.option("--truth", type=OutputFile(), help="Write labels as CSV."),
        _resume_option,
    )
    for option in reversed(options):
        command = option(command)
    return log_options(config_option(command))


def _dataset_command(name: str, text: str, clocks: tuple[str, ...]) -> None:
    @replay.command(name, help=text)
    @click.option("--root", required=True, type=click.Path(path_type=Path))
    @click.option("--clock", type=click.Choice(clocks), default=clocks[0], show_default=True)
    @click.option("--split", type=click.Choice(["test", "train", "all"]), default="test")
    @_target_options
    def command(root: Path, clock: str, split: str, **target: Any) -> None:
        images = load_dataset(name, root, clock=clock)
        if split != "all":
            images = [i for i in images if (i.split == "train") == (split == "train")]
        people = len({i.person for i in images if i.person > 0})
        strangers = sum(i.person <= 0 for i in images)
        what = (
            f"{name}, {split} split, {clock} clock: {len(images)} images, {people} people, "
            f"{strangers} distractors and junk"
        )
        _send(
            core.DatasetSource(images), f"{name} {root.resolve()} {clock} {split}", what, **target
        )


_dataset_command(
    "market1501",
    "Market-1501 (folders bounding_box_train, query, bounding_box_test).",
    ("corrected", "concatenated", "same-sequence"),
)
_dataset_command(
    "duke", "DukeMTMC-reID, a copy that you have; its clock is the official one.", ("official",)
)
_dataset_command(
    "msmt17", "MSMT17 (list_*.txt with train and test); its clock is ticks in a slot.", ("ticks",)
)


@replay.command("site")
@click.option("--seed", default=1, show_default=True)
@click.option("--people", default=140, show_default=True, type=click.IntRange(1))
@click.option("--minutes", default=30.0, show_default=True, type=click.FloatRange(1))
@click.option("--zones", default=5, show_default=True, type=click.IntRange(2))
@_target_options
def site_command(seed: int, people: int, minutes: float, zones: int, **target: Any) -> None:
    """A simulated site with rendered people."""
    law = SiteLaw(n_zones=zones, n_people=people, duration_s=minutes * 60)
    source = SimulatedSite(seed, law)
    what = (
        f"simulated site, seed {seed}: {len(source)} detections, {len(source.cameras)} cameras, "
        f"{people} people"
    )
    _send(source, f"site {seed} {people} {minutes} {zones}", what, **target)


@replay.command("schedule")
@click.option("--schedule", required=True, type=InputFile(), help="CSV or CSV.gz")
@click.option("--split", type=click.Choice(["test", "train", "all"]), default="test")
@click.option("--seed", default=1, show_default=True)
@click.option(
    "--write-dataset", type=click.Path(path_type=Path), help="Write images, send nothing."
)
@_target_options
def schedule_command(
    schedule: Path, split: str, seed: int, write_dataset: Path | None, **target: Any
) -> None:
    """Rendered people for the real identities, cameras and clock of a schedule."""
    rows = read_schedule(schedule, split)
    source = ScheduledPeople(rows, seed)
    people = len({row.person for row in rows if row.person > 0})
    what = (
        f"{schedule.name}, {split} split, rendered with seed {seed}: {len(rows)} sightings, "
        f"{people} people"
    )
    if write_dataset is not None:
        _write(source, write_dataset, what)
        return
    _send(source, f"schedule {schedule.resolve()} {split} {seed}", what, **target)


@replay.command("file")
@click.option("--from", "path", required=True, type=InputFile(), help="Recorded detections.")
@format_option
@_speed_option
@_resume_option
@log_options
@config_option
def file_command(
    path: Path,
    format_: str | None,
    speed: float,
    resume: bool,
    brokers: str,
    embedded: Path | None,
    config_path: Path | None,
) -> None:
    """Recorded detections of any format, as they are and at their own pace."""
    config = load_config(config_path)
    if format_ is not None:
        config.input.format = format_
    if not brokers and embedded is None:
        raise ConfigError("name a log: --brokers or --embedded")
    with DetectionFile(path, config.input) as file:
        _transmit(
            f"file {path.resolve()} {path.stat().st_size}",
            f"{path}: {len(file)} records, {file.n_unusable} of them cannot be used"
            if file.n_unusable
            else f"{path}: {len(file)} records",
            len(file),
            lambda sink, first, on_sent, stopped: sending.send(
                file.messages(first),
                sink,
                speed=speed,
                first=first,
                on_sent=on_sent,
                stopped=stopped,
            ),
            config=config,
            target=None,
            brokers=brokers,
            embedded=embedded,
            speed=speed,
            resume=resume,
        )


def _write(source: ScheduledPeople, root: Path, what: str) -> None:
    console = Console(stderr=True)
    console.print(f"{what} -> {root} in the layout of Market-1501")
    with counted(console) as progress:
        task = progress.add_task("images", total=len(source))
        for n in write_dataset(source, root):
            progress.update(task, completed=n)


def _send(
    source: core.Source,
    name: str,
    what: str,
    *,
    target: Path | None,
    speed: float,
    start: str,
    site: str | None,
    truth: Path | None,
    resume: bool,
    brokers: str,
    embedded: Path | None,
    config_path: Path | None,
) -> None:
    start_s = time_option("--start", start)
    if target is not None and (brokers or embedded):
        raise ConfigError("name one target: --to FILE, --brokers or --embedded")

    def send(sink: sending.Sink, first: int, on_sent: OnSent, stopped: Callable[[], bool]) -> int:
        if truth is not None:
            core.write_truth(source, truth, start_s)
        return core.replay(
            source,
            sink,
            start_s=start_s,
            speed=speed,
            site=site,
            first=first,
            on_sent=on_sent,
            stopped=stopped,
        )

    _transmit(
        f"{name} {start}",
        what,
        len(source),
        send,
        config=load_config(config_path),
        target=target,
        brokers=brokers,
        embedded=embedded,
        speed=speed,
        resume=resume,
    )


def _transmit(
    name: str,
    what: str,
    n: int,
    send: Callable[[sending.Sink, int, OnSent, Callable[[], bool]], int],
    *,
    config: Config,
    target: Path | None,
    brokers: str,
    embedded: Path | None,
    speed: float,
    resume: bool,
) -> None:
    """Sends ``n`` records with a bar and a bookmark; ``send`` gives how many were sent."""
    if speed < 0:
        raise ConfigError("--speed cannot be negative")
    console = Console(stderr=True)
    bookmark = core.Bookmark.of(f"{name} -> {target} {brokers} {embedded}")
    is_resumed = resume and (target is None or sending.part_of(target).exists())
    first = bookmark.read() if is_resumed else 0
    stop = threading.Event()
    with _sink(target, brokers, embedded, config, first) as sink:
        console.print(f"{what} -> {target or embedded or brokers}")
        if first:
            console.print(f"going on after {first} detections that were sent before")
        with counted(console) as progress, stop_on_signals(stop):
            task = progress.add_task("sent", total=n, completed=first)

            def on_sent(sent: int) -> None:
                bookmark.write(sent)
                progress.update(task, completed=sent)

            sent = send(sink, first, on_sent, stop.is_set)
            if sent == n:
                sink.finish()
    if sent < n:
        console.print(f"stopped after {sent} of {n}; the same command with --resume goes on")
        raise click.Abort
    bookmark.remove()
    console.print(f"sent {sent} detections")


@contextmanager
def _sink(
    target: Path | None, brokers: str, embedded: Path | None, config: Config, first: int
) -> Iterator[sending.Sink]:
    """Where the replay goes: a file (appended to after ``first`` detections), or a log."""
    if target is not None:
        out = sending.FileSink(target, resume=first > 0)
        try:
            yield out
        finally:
            out.close()
        return
    log = open_log(config, brokers=broker_list(brokers), embedded=embedded)
    try:
        make_missing_topics(log, config)
        yield sending.LogSink(log, config.topics.detections)
    finally:
        log.close()
