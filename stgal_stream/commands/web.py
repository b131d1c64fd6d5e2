"""``stgal-stream web``: look at a site in a browser."""

from __future__ import annotations

import logging
import os
import sys
import threading
from pathlib import Path

import click

from stgal_stream.commands.existing_log import existing_log
from stgal_stream.commands.live_page import check_page, serve_page
from stgal_stream.commands.options import config_option, log_options, set_up_logging
from stgal_stream.commands.paths import InputFile
from stgal_stream.configuration import load_config
from stgal_stream.errors import DataError
from stgal_stream.settings import WEB_TOKEN, WEB_VIEWER_TOKEN
from stgal_stream.web.access import Access

logger = logging.getLogger(__name__)

# The tracker beside it goes first where cores do not suffice: a page may be late, a decision not.
_NICENESS = 5
# A request switches threads about 20 times. While the log is read, each switch takes so long: with
# the interpreter's 5 ms a page takes a tenth of a second longer.
_TURN_S = 0.0005

_EPILOG = """\b
Examples:
  stgal-stream web --embedded stgal-log
  stgal-stream web --brokers kafka:9092 --port 8081
  STGAL_WEB_TOKEN=$(openssl rand -hex 16) stgal-stream web --brokers kafka:9092 --host 0.0.0.0
"""


@click.command(epilog=_EPILOG)
@log_options
@config_option
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on. Others need a token.",
)
@click.option(
    "--port",
    default=8080,
    show_default=True,
    type=click.IntRange(0, 65_535),
    help="0: any free one.",
)
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path),
    help="Where the read model and the audit log lie. Default: web/ in daemon.state_dir.",
)
@click.option(
    "--token-file", type=InputFile(), help=f"Holds the token of operators; or {WEB_TOKEN}."
)
@click.option(
    "--viewer-token-file",
    type=InputFile(),
    help=f"Holds the token of those who may look, but not correct; or {WEB_VIEWER_TOKEN}.",
)
def web(
    brokers: str,
    embedded: Path | None,
    config_path: Path | None,
    host: str,
    port: int,
    state_dir: Path | None,
    token_file: Path | None,
    viewer_token_file: Path | None,
) -> None:
    """Look at a site in a browser: cameras, travel times, identities, search by picture.

    A process of its own that reads the log, and writes nothing but what operators say: who is who,
    and which release is in use. What it has read lies in a directory that can be deleted at any
    time and is built again. Every look at a person, and every correction, is a line in audit.jsonl
    there.
    """
    config = load_config(config_path)
    set_up_logging(config.daemon.log_level)
    check_page()
    access = Access.on(
        host, _token(token_file, WEB_TOKEN), _token(viewer_token_file, WEB_VIEWER_TOKEN)
    )
    directory = state_dir or Path(config.daemon.state_dir) / "web"
    with existing_log(config, brokers, embedded) as log:
        os.nice(_NICENESS)  # before there are threads: each has its own
        sys.setswitchinterval(_TURN_S)
        releases = config.releases_folder(embedded)
        serve_page(log, config, directory, releases, (host, port), access, threading.Event())
    logger.info("stopped cleanly")


def _token(path: Path | None, variable: str) -> str | None:
    if path is None:
        return os.environ.get(variable) or None
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
