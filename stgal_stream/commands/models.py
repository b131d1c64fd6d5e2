"""``stgal-stream models``: releases of the extractor, and which is in use."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from stgal_stream.extractor.releases import Releases

_EPILOG = """\b
Examples:
  stgal-stream models list --releases releases
  stgal-stream models show retrained-0123456789ab --releases releases
  stgal-stream models promote retrained-0123456789ab --releases releases
  stgal-stream models rollback --releases releases
"""

_folder = click.option(
    "--releases",
    "folder",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of releases.",
)


@click.group(epilog=_EPILOG)
def models() -> None:
    """List, show, promote and roll back releases of the extractor.

    A daemon loads the promoted release when it starts (embed.releases).
    """


@models.command("list")
@_folder
def list_releases(folder: Path) -> None:
    """All releases, oldest first; the one in use has a star."""
    releases = Releases(folder)
    in_use = releases.promoted()
    found = releases.all()
    for release in found:
        star = "*" if release.version == in_use else " "
        gate = "passed" if release.gate.get("passed") else "refused"
        pairs = release.data.get("pairs", "?")
        click.echo(f"{star} {release.version}  {release.created}  {pairs} pairs  gate {gate}")
    if not found:
        click.echo("no release yet; stgal-stream retrain makes one")
    elif in_use is None:
        click.echo("none is in use: daemons run the configured or shipped extractor")


@models.command()
@_folder
@click.argument("version")
def show(folder: Path, version: str) -> None:
    """Everything about one release, as JSON."""
    release = Releases(folder).get(version)
    click.echo(msgspec.json.format(msgspec.json.encode(release), indent=1).decode())


@models.command()
@_folder
@click.argument("version")
def promote(folder: Path, version: str) -> None:
    """Put a release in use, whatever the gate said."""
    Releases(folder).promote(version)
    click.echo(f"{version} is in use; daemons load it when they start")


@models.command()
@_folder
def rollback(folder: Path) -> None:
    """Go back to what was in use before."""
    before = Releases(folder).rollback()
    click.echo(f"{before or 'the configured or shipped extractor'} is in use")
