"""``stgal-stream dead-letters``: what could not be used, and once more what was mended since."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from stgal_stream.commands.existing_log import existing_log
from stgal_stream.commands.options import config_option, log_options
from stgal_stream.commands.progress import counted
from stgal_stream.configuration import load_config
from stgal_stream.log.port import Log, NewRecord, Record
from stgal_stream.log.reading import records
from stgal_stream.settings import Config
from stgal_stream.types import REASONS, Position, Reason

_BATCH = 200
_REASON = click.Choice([str(reason) for reason in Reason])


class _Place(msgspec.Struct):
    topic: str
    partition: int
    offset: int


class _Letter(msgspec.Struct):
    reason: str
    detail: str = ""
    record: _Place | None = None


_DECODER = msgspec.json.Decoder(_Letter)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter, and the place of the record that it is about."""

    value: bytes
    reason: str
    detail: str
    place: Position | None
    at_s: float


@click.group("dead-letters")
def dead_letters() -> None:
    """What could not be used and why; send it again after its cause is mended."""


@dead_letters.command("list")
@log_options
@config_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_command(
    brokers: str, embedded: Path | None, config_path: Path | None, as_json: bool
) -> None:
    """Reasons with their numbers, the newest example of each, and what to do."""
    found: dict[str, dict[str, Any]] = {}
    with _opened(brokers, embedded, config_path) as (log, config):
        for letter in _letters(log, config, None):
            entry = found.setdefault(letter.reason, {"count": 0})
            entry["count"] += 1
            entry |= {"detail": letter.detail, "last": letter.at_s}
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    table = Table("reason", "number", "such as", "what to do")
    for reason, entry in sorted(found.items(), key=lambda item: -item[1]["count"]):
        todo = REASONS[Reason(reason)][1] if reason in set(Reason) else ""
        table.add_row(reason, f"{entry['count']:,}", entry["detail"], todo)
    Console().print(table if found else "no dead letters")


@dead_letters.command()
@log_options
@config_option
@click.option("--reason", type=_REASON, help="These alone.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="The newest.")
@click.option(
    "--records", "with_records", is_flag=True, help="The records themselves, as they lie."
)
def show(
    brokers: str,
    embedded: Path | None,
    config_path: Path | None,
    reason: str | None,
    limit: int,
    with_records: bool,
) -> None:
    """The newest dead letters, a JSON object a line; or the records that they are about."""
    with _opened(brokers, embedded, config_path) as (log, config):
        newest = list(_letters(log, config, reason))[-limit:]
        for letter in newest:
            if not with_records:
                click.echo(letter.value)
                continue
            record = _record(log, letter.place)
            if record is None:
                click.echo("a record is gone: retention or --no-crops has taken it", err=True)
            else:
                click.echo(record.value)


@dead_letters.command()
@log_options
@config_option
@click.option("--reason", type=_REASON, required=True, help="Records refused for this reason.")
@click.option("--dry-run", is_flag=True, help="Count them, send nothing.")
def resend(
    brokers: str, embedded: Path | None, config_path: Path | None, reason: str, dry_run: bool
) -> None:
    """Put refused records at the end of the detections topic once more.

    For after a cause is mended: a setting, a producer's clock, a codec. The dead letters stay, so
    run it once. What was used already is refused as a duplicate.
    """
    console = Console(stderr=True)
    with _opened(brokers, embedded, config_path) as (log, config):
        places = list(dict.fromkeys(letter.place for letter in _letters(log, config, reason)))
        n_sent = n_gone = 0
        with counted(console) as progress:
            task = progress.add_task("sent", total=len(places))
            for at in range(0, len(places), _BATCH):
                found = [_record(log, place) for place in places[at : at + _BATCH]]
                again = [record for record in found if record is not None]
                topic = config.topics.detections
                if again and not dry_run:
                    log.append([NewRecord(topic, r.key, r.value, r.headers) for r in again])
                n_sent += len(again)
                n_gone += len(found) - len(again)
                progress.update(task, advance=len(found))
    what = "would be sent" if dry_run else "sent again"
    click.echo(f"{n_sent} records {what}, {n_gone} are gone (by retention or run --no-crops)")


@contextmanager
def _opened(
    brokers: str, embedded: Path | None, config_path: Path | None
) -> Iterator[tuple[Log, Config]]:
    config = load_config(config_path)
    with existing_log(config, brokers, embedded) as log:
        yield log, config


def _letters(log: Log, config: Config, reason: str | None) -> Iterator[DeadLetter]:
    """Dead letters in the order of the log; what is none is left out."""
    topic = config.topics.dead_letters
    for partition in range(log.partitions(topic)):
        for record in records(log, topic, partition):
            try:
                found = _DECODER.decode(record.value)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                continue
            if reason in (None, found.reason):
                at = found.record
                place = None if at is None else Position(at.topic, at.partition, at.offset)
                yield DeadLetter(
                    record.value, found.reason, found.detail, place, record.append_time_s
                )


def _record(log: Log, place: Position | None) -> Record | None:
    """The record at a place; None where it is gone."""
    if place is None:
        return None
    found = log.read(place.topic, place.partition, place.offset, 1)
    return found[0] if found and found[0].offset == place.offset else None
