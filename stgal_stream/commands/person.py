"""``stgal-stream erase`` and ``export-person``: one person's rights."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stgal_stream.commands.existing_log import existing_log
from stgal_stream.commands.options import (
    Command,
    config_option,
    log_options,
    set_up_logging,
)
from stgal_stream.commands.paths import InputFile, OutputFolder
from stgal_stream.configuration import load_config
from stgal_stream.errors import ConfigError, DataError, LogError
from stgal_stream.exclusive import exclusive
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.port import Log
from stgal_stream.privacy.export import export
from stgal_stream.privacy.forgetting import forget_on_embedded, note, tell, wait_until_read
from stgal_stream.privacy.lookalike import lookalikes
from stgal_stream.privacy.person import Person, find_person
from stgal_stream.settings import Config
from stgal_stream.web.pictures import Embedder, NoPictureError
from stgal_stream.wire.fields import format_time

if TYPE_CHECKING:
    from stgal_stream.privacy.topic_scrubbing import Scrubbed

_WAIT_S = 60.0
_SHOWN = 5
_ERASE = """\b
Examples:
  stgal-stream erase 85e4b76efdb84c1d --embedded stgal-log --dry-run
  stgal-stream erase 85e4b76efdb84c1d --brokers kafka:9092
  stgal-stream erase --picture person.jpg --embedded stgal-log
"""
_EXPORT = """\b
Examples:
  stgal-stream export-person 85e4b76efdb84c1d --embedded stgal-log --to answer
  stgal-stream export-person --picture person.jpg --brokers kafka:9092 --to answer
"""


def _person_options(command: Command) -> Command:
    """Whom, and in which log."""
    for option in (
        click.option("--site", default=None, help="Needed where several sites know the id."),
        click.option(
            "--picture", type=InputFile(), help="Find them by a picture of them, cut out."
        ),
        config_option,
        log_options,
        click.argument("identity", required=False),
    ):
        command = option(command)
    return command


@click.command(epilog=_ERASE)
@_person_options
@click.option("--dry-run", is_flag=True, help="Say what would go; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(
    identity: str | None,
    brokers: str,
    embedded: Path | None,
    config_path: Path | None,
    picture: Path | None,
    site: str | None,
    dry_run: bool,
    yes: bool,
) -> None:
    """Erase one person: pictures, embeddings, events, snapshots, the page's read model.

    On the embedded log everything goes at once; daemon and page must be stopped. On Kafka the
    running daemons and pages forget, then the person is taken out of the topics that they write;
    pictures go with the retention of the cameras' topic: the command says when. That somebody was
    erased is noted in the erasures topic, without who.
    """
    with _opened(brokers, embedded, config_path) as (log, config):
        person = _person(log, config, identity, picture, site)
        _describe(person)
        if dry_run:
            click.echo("Nothing was changed.")
            return
        if not yes:
            click.confirm("Erase this person for good?", abort=True)
        if isinstance(log, EmbeddedLog):
            _erase_embedded(log, config, person)
        else:
            _erase_on_kafka(log, config, person)


@click.command("export-person", epilog=_EXPORT)
@_person_options
@click.option("--to", "folder", type=OutputFolder(), required=True, help="A new or empty folder.")
def export_person(
    identity: str | None,
    brokers: str,
    embedded: Path | None,
    config_path: Path | None,
    picture: Path | None,
    site: str | None,
    folder: Path,
) -> None:
    """Write all that the log holds of one person: a request for access.

    person.json has sightings, events and embeddings; pictures/ what the cameras sent.
    """
    with _opened(brokers, embedded, config_path) as (log, config):
        person = _person(log, config, identity, picture, site)
        _describe(person)
        folder.mkdir(mode=0o700, exist_ok=True)
        counts = export(log, config, person, folder)
    told = ", ".join(f"{n} {name}" for name, n in counts.items() if n)
    click.echo(f"{folder}: {told}. It is personal data: give it to them alone.")


@contextmanager
def _opened(
    brokers: str, embedded: Path | None, config_path: Path | None
) -> Iterator[tuple[Log, Config]]:
    config = load_config(config_path)
    set_up_logging(config.daemon.log_level)
    with existing_log(config, brokers, embedded, writes=True) as log:
        yield log, config


def _person(
    log: Log, config: Config, identity: str | None, picture: Path | None, site: str | None
) -> Person:
    if (identity is None) == (picture is None):
        raise ConfigError("name one identity, or --picture FILE")
    if picture is not None:
        site, identity = _by_picture(log, config, picture)
    assert identity is not None
    _tell("reading the log")
    return find_person(log, config.topics, site, identity)


def _by_picture(log: Log, config: Config, picture: Path) -> tuple[str, str]:
    """The site and identity that whoever sits here holds to be the person of a picture."""
    folder = config.releases_folder(log.directory if isinstance(log, EmbeddedLog) else None)
    try:
        extractor, vector = Embedder(log, config, folder).embed(picture.read_bytes())
    except (OSError, NoPictureError) as error:
        raise DataError(f"{picture} cannot be used: {error}") from error
    found = lookalikes(log, config.topics, extractor, vector, _SHOWN)
    if not found:
        raise DataError(f"nobody in the log was embedded by {extractor}")
    for number, one in enumerate(found, 1):
        click.echo(
            f"{number}  {one.identity} of site {one.site}: mean cosine {one.similarity:.3f} over "
            f"{one.n_detections} detections"
        )
    click.echo("Look at them on the page (stgal-stream web) before you choose.")
    chosen = click.prompt("Which one is it?", type=click.IntRange(1, len(found)))
    return found[chosen - 1].site, found[chosen - 1].identity


def _describe(person: Person) -> None:
    records = len(person.places)
    also = f" (also known as {', '.join(person.identities[1:])})" if person.identities[1:] else ""
    click.echo(
        f"{person.identities[0]}{also} of site {person.site}: {len(person.sightings)} sightings, "
        f"{len(person.detections)} detections in {records} records."
    )
    if person.shared:
        click.echo(f"{len(person.shared)} of these records hold other people, too.")


def _tell(what: str) -> None:
    """What is being done, while it is."""
    click.echo(f"{what} …", err=True)


def _erase_embedded(log: EmbeddedLog, config: Config, person: Person) -> None:
    page = Path(config.daemon.state_dir) / "web"
    with exclusive(page, "stgal-stream web"):
        counts = forget_on_embedded(log, config, person, page, _tell)
    told = ", ".join(f"{n} in {topic}" for topic, n in counts.items()) or "none"
    click.echo(f"Erased. Records taken out or rewritten: {told}.")
    click.echo(
        "Copies that you made (results, exports, backups, a read model elsewhere) are yours."
    )


def _erase_on_kafka(log: Log, config: Config, person: Person) -> None:
    topics = config.topics
    ends = tell(log, config, person)
    _tell("waiting for the daemon")
    if not wait_until_read(log, config, ends, _WAIT_S):
        raise LogError(
            "no daemon has read it yet: the site's forgets when it comes to it, and until then "
            "nothing is taken out of the topics",
            hint="begin again once it runs",
        )
    click.echo("The daemon has forgotten this person, and pages do.")
    done = _take_out_of_topics(log, config, person)
    personal_s = time.time() + topics.retention_personal_s
    results_s = time.time() + topics.retention_results_s
    late = bool(done.left.keys() - {topics.embeddings})
    gone_s = max(personal_s, results_s) if late else personal_s
    note(log, config, person.site, done.counts, tracker=True, gone_s=gone_s)
    told = ", ".join(f"{n} in {topic}" for topic, n in done.counts.items()) or "none"
    click.echo(f"Records taken out: {told}.")
    for topic, why in done.left.items():
        until_s = personal_s if topic == topics.embeddings else results_s
        click.echo(
            f"{topic} still holds them, {why}; by time it is gone by {format_time(until_s)}."
        )
    click.echo(
        f"What cameras sent ({topics.detections}) is theirs: Kafka deletes it by time alone, by "
        f"{format_time(personal_s)}, if the topic has the configured retention (stgal-stream "
        "topics) and its segments are not kept longer."
    )


def _take_out_of_topics(log: Log, config: Config, person: Person) -> Scrubbed:
    # Whoever has no broker has no need of its client.
    from stgal_stream.log.kafka import KafkaLog
    from stgal_stream.privacy.topic_scrubbing import scrub_topics

    assert isinstance(log, KafkaLog)
    return scrub_topics(log, config, person, _tell)
