"""Options and helpers that several commands share."""

from __future__ import annotations

import logging
import math
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import click

from stgal_stream.commands.paths import InputFile
from stgal_stream.errors import ConfigError
from stgal_stream.settings import FORMATS
from stgal_stream.wire.fields import BadRecord, parse_time_s

Command = TypeVar("Command", bound=Callable[..., Any])
# The names in retraining.losses, which needs torch to be asked.
LOSS_NAMES = ("scaled-batch-hard", "contrastive", "triplets", "batch-hard")
PRECISIONS = ("auto", "float32", "bfloat16")


class FiniteRange(click.FloatRange):
    """A range of numbers, in which "nan" and "inf" are none."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """As ``click.FloatRange``, and finite."""
        found = float(super().convert(value, param, ctx))
        if not math.isfinite(found):
            self.fail(f"{value} is no number.", param, ctx)
        return found


SEED = click.IntRange(0, 2**63 - 1)


def config_option(command: Command) -> Command:
    """``--config FILE``."""
    return click.option("--config", "config_path", type=InputFile(), help="TOML configuration.")(
        command
    )


def log_options(command: Command) -> Command:
    """``--brokers`` and ``--embedded``."""
    for option in (
        click.option("--embedded", type=click.Path(path_type=Path), help="Embedded log directory."),
        click.option("--brokers", default="", help="Kafka brokers: HOST:PORT[,HOST:PORT…]"),
    ):
        command = option(command)
    return command


def batch_pairs_option(command: Command) -> Command:
    """``--batch-pairs``."""
    return click.option(
        "--batch-pairs",
        type=click.IntRange(2, 1000),
        help="Pairs in a batch, over all processes. Default: 10 (recipe paper: 16).",
    )(command)


def precision_option(command: Command) -> Command:
    """``--precision``."""
    return click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        default="auto",
        show_default=True,
        help="What the network is trained in; auto: bfloat16 where the processor computes in it, "
        "float32 by recipe paper.",
    )(command)


def format_option(command: Command) -> Command:
    """``--format``: of the detections that come in."""
    return click.option(
        "--format",
        "format_",
        type=click.Choice(("auto", *FORMATS)),
        help="Format of the detections; auto recognises each record.",
    )(command)


def broker_list(brokers: str) -> list[str]:
    """``a:9092,b`` -> ["a:9092", "b:9092"].

    Raises:
        ConfigError: a port is not a number from 1 to 65535.
    """
    found = []
    for part in filter(None, (p.strip() for p in brokers.split(","))):
        host, separator, port = part.rpartition(":")
        if not separator:
            found.append(f"{part}:9092")
        elif port.isdigit() and 0 < int(port) < 65_536 and host:
            found.append(part)
        else:
            raise ConfigError(
                f"{part!r} is no broker address", hint="HOST:PORT, such as kafka:9092"
            )
    return found


def time_option(option: str, text: str) -> float:
    """A time in Unix seconds.

    Raises:
        ConfigError: it is none.
    """
    try:
        return parse_time_s(text)
    except BadRecord as error:
        raise ConfigError(
            f"{option}: {error.detail}", hint="such as 2025-01-01T00:00:00Z"
        ) from error


def set_up_logging(level: str) -> None:
    """One line an event on standard error."""
    logging.basicConfig(
        level=level.upper(),
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("kafka").setLevel(logging.ERROR)


@contextmanager
def train_extra(what: str) -> Iterator[None]:
    """Around imports of what needs torch: an edge server's installation has none.

    Raises:
        ConfigError: a package is missing; says who needs it and how to get it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{what} needs {error.name}, which this installation lacks",
            hint='pip install "stgal-stream[train]"',
        ) from error


@contextmanager
def stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """SIGTERM and SIGINT set ``stop``; a second one ends the process at once."""

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {s: signal.signal(s, handle) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
