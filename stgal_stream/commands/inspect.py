"""``inspect``: what a daemon knows about its sites, read from its snapshots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from stgal_stream.commands.paths import InputFile
from stgal_stream.configuration import load_config
from stgal_stream.core.calibration.link_test import LinkStatus
from stgal_stream.core.tracker.snapshot import restore
from stgal_stream.errors import DataError, SnapshotError
from stgal_stream.streaming.site_summary import summary
from stgal_stream.streaming.snapshots import read_sites

_EPILOG = """\b
Examples:
  stgal-stream inspect
  stgal-stream inspect --state-dir /var/lib/stgal-stream --json
"""


@click.command(epilog=_EPILOG)
@click.option(
    "--state-dir", type=click.Path(path_type=Path), help="Default: daemon.state_dir of the config."
)
@click.option("--config", "config_path", type=InputFile(), help="A TOML file.")
@click.option("--site", default=None, help="This site alone.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def inspect(
    state_dir: Path | None, config_path: Path | None, site: str | None, as_json: bool
) -> None:
    """Camera graph, travel times, alpha, sigma, expected precision and drift of each site.

    Reads the newest snapshot of a running or stopped daemon; it never touches the daemon.
    """
    config = load_config(config_path)
    directory = state_dir or Path(config.daemon.state_dir)
    try:
        states = read_sites(directory)
        settings = config.associate
        found = {name: summary(restore(state, settings)) for name, state in states.items()}
    except SnapshotError as error:
        raise DataError(str(error), hint=error.hint) from error
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"a snapshot in {directory} is of another version",
            hint="let the daemon write a new one",
        ) from error
    if site is not None:
        if site not in found:
            raise DataError(f"no site {site!r}", hint=f"there is {', '.join(sorted(found))}")
        found = {site: found[site]}
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for name, facts in found.items():
        _print(Console(), name, facts)


def _print(console: Console, name: str, facts: dict[str, Any]) -> None:
    console.print(
        f"[bold]site {name}[/bold]: {len(facts['cameras'])} cameras, {facts['n_tracklets']} "
        f"tracklets in the window, {facts['n_identities']} identities, "
        f"{facts['n_associations']} associations, extractor {facts['extractor']}"
    )
    for camera, off_s in facts["clocks_off_s"].items():
        way = "ahead of" if off_s > 0 else "behind"
        console.print(
            f"the clock of camera {camera} is {abs(off_s):.0f} s {way} the others: its times are "
            "corrected by that"
        )
    for camera, n in facts["static_objects"].items():
        things = "one thing that never moves" if n == 1 else f"{n} things that never move"
        console.print(f"camera {camera} sees {things}: no person, and compared with nobody")
    found = facts["calibration"]
    if found is None:
        console.print(
            f"not calibrated yet, needs about {facts['needed_tracklets']} more tracklets\n"
        )
        return
    console.print(
        f"alpha {found['alpha']:.4g}, sigma {found['sigma']:.3g} (version {found['version']})"
    )
    whole = found["expected_identity_precision"]
    console.print(
        f"expected precision {found['expected_precision']:.3f} of pairs, "
        f"{'none' if whole is None else f'{whole:.3f}'} of identities"
    )
    if not found["learned"]:
        console.print("nothing learned: no camera pair is known to share people")
    if found["compared_with_s_ago"] is None:
        console.print("no drift to tell yet: the calibrations kept are less than an hour apart")
    else:
        hours = found["compared_with_s_ago"] / 3600
        console.print(f"drift is against {hours:.1f} h ago, alpha then {found['alpha_before']:.4g}")
    table = Table()
    for column in ("cameras", "verdict", "n", "p10", "median", "p90", "drift"):
        table.add_column(column, justify="left" if column in ("cameras", "verdict") else "right")
    for pair in facts["pairs"]:
        table.add_row(
            " – ".join(pair["cameras"]),
            _verdict(pair),
            str(pair["n_associations"]),
            *(_seconds(pair[key]) for key in ("p10_s", "median_s", "p90_s", "median_drift_s")),
        )
    console.print(table)
    console.print()


def _verdict(pair: dict[str, Any]) -> str:
    if pair["verdict"] == LinkStatus.TOO_LITTLE_DATA:
        return f"no overlap seen yet, needs about {pair['needed_buddies']} more"
    return str(pair["verdict"]).replace("_", " ")


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"
