"""``stgal-stream models``: releases of the extractor, and which is in use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from stgal_stream.commands.existing_log import existing_log
from stgal_stream.commands.options import config_option, log_options
from stgal_stream.configuration import load_config
from stgal_stream.extractor.releases import Releases
from stgal_stream.log.port import Log
from stgal_stream.streaming.extractor_rollout.promote import promote as put_in_use
from stgal_stream.streaming.extractor_rollout.promote import roll_back
from stgal_stream.streaming.extractor_rollout.state import RolloutState

Command = TypeVar("Command", bound=Callable[..., Any])

_EPILOG = """\b
Examples:
  stgal-stream models list --embedded stgal-log
  stgal-stream models show retrained-0123456789ab --embedded stgal-log
  stgal-stream models promote retrained-0123456789ab --brokers localhost:9092 --releases releases
  stgal-stream models rollback --embedded stgal-log
"""


def _options(command: Command) -> Command:
    folder = click.option(
        "--releases",
        "folder",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder of releases; else embed.releases, else in the log's directory.",
    )
    return log_options(config_option(folder(command)))


@click.group(epilog=_EPILOG)
def models() -> None:
    """List, show, promote and roll back releases of the extractor.

    A promote or rollback is one record in the log; running daemons change over by themselves.
    """


class _Found:
    """Releases, the log and what it says about them."""

    def __init__(self, log: Log, topic: str, releases: Releases) -> None:
        self.log, self.topic, self.releases = log, topic, releases
        self.state = RolloutState()
        self.state.read(log, topic)


@contextmanager
def _open(
    brokers: str, embedded: Path | None, config_path: Path | None, folder: Path | None
) -> Iterator[_Found]:
    config = load_config(config_path)
    with existing_log(config, brokers, embedded, writes=True) as log:
        releases = Releases(folder or config.releases_folder(embedded))
        yield _Found(log, config.topics.releases, releases)


@models.command("list")
@_options
def list_releases(**where: Any) -> None:
    """All releases, oldest first; the one in use has a star."""
    with _open(where["brokers"], where["embedded"], where["config_path"], where["folder"]) as found:
        in_use = found.state.in_use
        every, faults = found.releases.all()
        for release in every:
            star = "*" if in_use is not None and release.version == in_use.version else " "
            gate = "passed" if release.gate.get("passed") else "refused"
            pairs = release.data.get("pairs", "?")
            click.echo(f"{star} {release.version}  {release.created}  {pairs} pairs  gate {gate}")
        for fault in faults:
            click.echo(f"cannot be used: {fault}")
        if in_use is not None and not found.releases.has(in_use.version):
            click.echo(f"* {in_use.version}  in use, from {in_use.folder}")
        if not every:
            click.echo(f"no release in {found.releases.folder}; stgal-stream retrain makes one")
        elif in_use is None:
            click.echo("none is in use: daemons run the configured or shipped extractor")
        for number, refusal in found.state.refused.items():
            version = found.state.promotions[number].version
            click.echo(f"refused by {refusal.worker}: {version}, {refusal.reason}")


@models.command()
@_options
@click.argument("version")
def show(version: str, **where: Any) -> None:
    """Everything about one release, as JSON."""
    with _open(where["brokers"], where["embedded"], where["config_path"], where["folder"]) as found:
        release = found.releases.get(version)
        click.echo(msgspec.json.format(msgspec.json.encode(release), indent=1).decode())


@models.command()
@_options
@click.argument("version")
def promote(version: str, **where: Any) -> None:
    """Put a release in use, whatever the gate said."""
    with _open(where["brokers"], where["embedded"], where["config_path"], where["folder"]) as found:
        put_in_use(found.log, found.topic, found.releases, version)
        click.echo(f"{version} is promoted; running daemons change over to it by themselves")


@models.command()
@_options
@click.option(
    "--to-configured", is_flag=True, help="To the configured or shipped extractor, at once."
)
def rollback(to_configured: bool, **where: Any) -> None:
    """Go back to what was in use before."""
    with _open(where["brokers"], where["embedded"], where["config_path"], where["folder"]) as found:
        version = roll_back(
            found.log, found.topic, found.releases, found.state, to_configured=to_configured
        )
        name = "the configured or shipped extractor" if version is None else version
        click.echo(f"back to {name}; running daemons change over to it by themselves")
