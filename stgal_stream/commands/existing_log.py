"""The log beside whose daemon a command works: it is there already."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from stgal_stream.commands.options import broker_list
from stgal_stream.daemon import make_missing_topics, open_log
from stgal_stream.errors import DataError
from stgal_stream.log.port import Log
from stgal_stream.settings import Config


@contextmanager
def existing_log(
    config: Config, brokers: str, embedded: Path | None, *, writes: bool = False
) -> Iterator[Log]:
    """The log that ``--brokers`` or ``--embedded`` names; for a command that ``writes``, with the
    topics that are missing.

    Raises:
        ConfigError: neither is named, or both are.
        DataError: there is no such embedded log.
        LogError: it cannot be reached.
    """
    if embedded is not None and not embedded.is_dir():
        raise DataError(
            f"there is no embedded log at {embedded}", hint="name the one that the daemon writes"
        )
    with closing(open_log(config, brokers=broker_list(brokers), embedded=embedded)) as log:
        if writes:
            make_missing_topics(log, config)
        yield log
