"""``check-config`` and ``topics``."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from stgal_stream.commands.options import broker_list, config_option, log_options
from stgal_stream.configuration import load_config
from stgal_stream.daemon import open_log
from stgal_stream.errors import LogError
from stgal_stream.log.topics import topic_specs


@click.command("check-config")
@click.argument("path", type=click.Path(path_type=Path), required=False)
def check_config(path: Path | None) -> None:
    """Check a configuration and the environment; print what would be in force."""
    config = load_config(path)
    for section, values in msgspec.to_builtins(config).items():
        click.echo(f"[{section}]")
        for key, value in values.items():
            shown = "(set)" if key == "security" and value else msgspec.json.encode(value).decode()
            click.echo(f"{key} = {shown}")
        click.echo()
    click.echo("# the configuration is good")


@click.command()
@log_options
@config_option
@click.option(
    "--check", is_flag=True, help="Make nothing; fail where a topic is not as configured."
)
def topics(brokers: str, embedded: Path | None, config_path: Path | None, check: bool) -> None:
    """Make the topics that are missing, and say how the others differ from the configuration."""
    config = load_config(config_path)
    log = open_log(config, brokers=broker_list(brokers), embedded=embedded)
    try:
        specs = topic_specs(config)
        missing = [spec for spec in specs if not log.partitions(spec.name)]
        if check and missing:
            names = ", ".join(spec.name for spec in missing)
            raise LogError(
                f"missing topics: {names}", hint="run stgal-stream topics without --check"
            )
        notes = log.ensure_topics(specs)
        for spec in specs:
            kept = "for ever" if spec.retention_s is None else f"{spec.retention_s / 86_400:g} days"
            what = "made" if spec in missing else "there"
            partitions = log.partitions(spec.name)
            click.echo(f"{spec.name:<14} {what:<6} {partitions} partition(s), kept {kept}")
        for note in notes:
            click.echo(f"differs: {note}", err=True)
        if check and notes:
            raise LogError("topics differ from the configuration")
    finally:
        log.close()
