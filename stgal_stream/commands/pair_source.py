"""What a stream said about itself, for the commands that read it: a log, or files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stgal_stream.commands.existing_log import existing_log
from stgal_stream.commands.paths import InputFile
from stgal_stream.errors import ConfigError, DataError
from stgal_stream.extractor.onnx import SHIPPED
from stgal_stream.extractor.releases import Releases
from stgal_stream.log.port import Log
from stgal_stream.settings import Config
from stgal_stream.streaming.extractor_rollout.state import RolloutState

if TYPE_CHECKING:  # torch, which an edge server lacks
    from stgal_stream.retraining.data.sources import Source


def pair_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--pairs`` and ``--crops``: files instead of a log."""
    path = InputFile()
    crops = "With --pairs: crops named by detection id."
    command = click.option("--crops", type=path, help=crops)(command)
    return click.option("--pairs", type=path, help="Association events in a file, not a log.")(
        command
    )


@contextmanager
def source_of(
    config: Config, brokers: str, embedded: Path | None, pairs: Path | None, crops: Path | None
) -> Iterator[tuple[Source, Callable[[Releases], Path]]]:
    """What to read, and which extractor is in use there."""
    if pairs is None and crops is None and not config.embed.keep_crops:
        raise ConfigError(
            "embed.keep_crops is off: the log keeps no pictures that could be trained on",
            hint="--pairs and --crops train on pictures that were kept elsewhere",
        )
    from stgal_stream.retraining.data.sources import FileSource, LogSource

    if pairs is not None or crops is not None:
        if pairs is None or crops is None:
            raise ConfigError("--pairs and --crops go together")
        if brokers or embedded:
            raise ConfigError("--pairs and --crops instead of --brokers or --embedded")
        for path, is_there in ((pairs, pairs.is_file()), (crops, crops.is_dir())):
            if not is_there:
                raise DataError(f"there is no {path}")
        yield FileSource(pairs, crops), lambda releases: _configured(config)
        return
    with existing_log(config, brokers, embedded, writes=True) as log:
        yield LogSource(log, config.topics), lambda releases: _in_use(log, config, releases)


def _in_use(log: Log, config: Config, releases: Releases) -> Path:
    """The extractor to start from: what daemons use, which may lie in another folder than the one
    that this retraining writes to."""
    state = RolloutState()
    state.read(log, config.topics.releases)
    if state.in_use is None:
        return _configured(config)
    return releases.holding(state.in_use).promoted(state.in_use)


def _configured(config: Config) -> Path:
    return Path(config.embed.model) if config.embed.model else SHIPPED
