"""The live page of a log, which ``web`` serves, and ``demo`` at its end."""

from __future__ import annotations

import threading
from importlib.metadata import version
from pathlib import Path

import click

from stgal_stream.commands.options import stop_on_signals
from stgal_stream.errors import ConfigError
from stgal_stream.exclusive import exclusive
from stgal_stream.log.port import Log
from stgal_stream.settings import Config
from stgal_stream.web.access import Access


def check_page() -> None:
    """What comes before the page must not end in something that is missing.

    Raises:
        ConfigError: a package is, or the page's libraries are.
    """
    try:
        import uvicorn  # noqa: F401

        from stgal_stream.web.application import PAGE
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the page needs {error.name}, which this installation lacks",
            hint='pip install "stgal-stream[web]"',
        ) from error
    if not (PAGE / "vendor").is_dir():
        raise ConfigError(
            "the page's libraries are missing: this is a checkout in which they were not set up",
            hint="tools/web-setup, once; a wheel has them",
        )


def serve_page(
    log: Log,
    config: Config,
    directory: Path,
    releases: Path,
    address: tuple[str, int],
    access: Access,
    stop: threading.Event,
) -> None:
    """Serves it until ``stop`` is set or a signal comes; ``directory`` is the read model's. To be
    called after ``check_page``.

    Raises:
        ConfigError: the address is taken, or another page works in the directory.
        DataError: the directory cannot be used.
    """
    from stgal_stream.web.server import WebServer

    with exclusive(directory, "stgal-stream web"):
        server = WebServer(
            log, config, directory, releases, address, access, version("stgal-stream")
        )
        with stop_on_signals(stop):
            server.run(stop, lambda: click.echo(f"{server.address} (Ctrl-C stops it)"))
