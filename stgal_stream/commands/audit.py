"""``stgal-stream audit``: the true precision of a site's pairs, by a person's eye."""

from __future__ import annotations

import json
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
import msgspec

from stgal_stream.commands.existing_log import existing_log
from stgal_stream.commands.options import (
    SEED,
    config_option,
    log_options,
    set_up_logging,
)
from stgal_stream.commands.paths import OutputFile
from stgal_stream.configuration import load_config
from stgal_stream.errors import DataError
from stgal_stream.evaluation.share import Share
from stgal_stream.experiments.pages.audit_page import ShownPair, audit_page
from stgal_stream.log.port import Log
from stgal_stream.log.reading import values
from stgal_stream.replacing import replacing
from stgal_stream.retraining.data.stream_events import Accepted, Sighting, associations_of
from stgal_stream.settings import TopicSettings
from stgal_stream.streaming.operator_word import say
from stgal_stream.types import OperatorCorrection, Position, Verdict
from stgal_stream.wire.detection import crop_in
from stgal_stream.wire.fields import BadRecord, format_time

_ANSWERS = {"y": "yes", "n": "no", "u": "unclear", "q": "quit"}
_EPILOG = """\b
Examples:
  stgal-stream audit --embedded stgal-log
  stgal-stream audit --brokers kafka:9092 --site shop --n 100 --answers shop.jsonl --correct
"""


@dataclass(frozen=True, slots=True)
class _Pair:
    """A pair to be judged, the earlier sighting first, with both pictures."""

    id: str
    sightings: tuple[Sighting, Sighting]
    pictures: tuple[bytes, bytes]

    @property
    def caption(self) -> str:
        first, second = self.sightings
        apart_s = max(0.0, second.start_s - first.end_s)
        return (
            f"{first.camera}, {format_time(first.start_s)} – {second.camera}, {apart_s:.0f} s later"
        )


@click.command(epilog=_EPILOG)
@log_options
@config_option
@click.option("--site", default=None, help="Needed where there are several.")
@click.option(
    "--n", default=50, show_default=True, type=click.IntRange(1, 2000), help="Pairs to judge."
)
@click.option("--seed", default=0, show_default=True, type=SEED, help="Of the sample.")
@click.option(
    "--page",
    default="audit.html",
    show_default=True,
    type=OutputFile(),
    help="Shows the pairs; deleted at the end.",
)
@click.option(
    "--answers",
    type=OutputFile(),
    help="Keeps the answers, one a line; what stands there is not asked again.",
)
@click.option("--correct", is_flag=True, help="Tell the tracker of pairs that are two people.")
def audit(
    brokers: str,
    embedded: Path | None,
    config_path: Path | None,
    site: str | None,
    n: int,
    seed: int,
    page: Path,
    answers: Path | None,
    correct: bool,
) -> None:
    """Judge a random sample of pairs by eye: their true precision beside the expected one.

    Pairs between two cameras of which both pictures are still in the log. The page is opened in a
    browser, the answers are given here: y one person, n two people, u cannot tell, q stop.
    """
    config = load_config(config_path)
    set_up_logging(config.daemon.log_level)
    with existing_log(config, brokers, embedded, writes=correct) as log:
        standing = _standing(log, config.topics)
        chosen = _site(site, standing)
        pairs = list(_sampled(log, standing[chosen], n, seed))
        if not pairs:
            raise DataError(
                f"site {chosen!r} has no accepted pair across cameras with both pictures",
                hint="pictures are kept for topics.retention_personal_s, or not (run --no-crops)",
            )
        with replacing(page) as path:
            shown = [ShownPair(pair.caption, pair.pictures) for pair in pairs]
            path.write_text(audit_page(chosen, shown))
        try:
            click.echo(f"{len(pairs)} pairs: open {page} in a browser.")
            said = _asked(pairs, answers, partial(_tell, log, config.topics, chosen, correct))
        finally:
            page.unlink(missing_ok=True)
        _print(said, _expected(log, config.topics.calibrations, chosen))


def _standing(log: Log, topics: TopicSettings) -> dict[str, dict[str, Accepted]]:
    """The accepted pairs across cameras that were not withdrawn, by site and id."""
    found: dict[str, dict[str, Accepted]] = {}
    for event in associations_of(values(log, topics.associations), Counter()):
        here = found.setdefault(event.site, {})
        if not isinstance(event, Accepted):
            here.pop(event.pair_id, None)
        elif event.query.sensor_id != event.gallery.sensor_id:
            here[event.pair_id] = event
    return found


def _site(asked: str | None, standing: dict[str, dict[str, Accepted]]) -> str:
    names = sorted(site for site, pairs in standing.items() if pairs)
    if not names:
        raise DataError(
            "the log holds no accepted pair across cameras",
            hint="`stgal-stream inspect` says what is still missing",
        )
    if asked is not None and asked not in names:
        raise DataError(f"no site {asked!r} with pairs", hint=f"there is {', '.join(names)}")
    if asked is None and len(names) > 1:
        raise DataError("there are several sites", hint=f"--site, one of {', '.join(names)}")
    return asked or names[0]


def _sampled(log: Log, standing: dict[str, Accepted], n: int, seed: int) -> Iterator[_Pair]:
    """Pairs in random order, those of which a picture is gone left out."""
    ids = sorted(standing)
    random.Random(seed).shuffle(ids)  # noqa: S311  # no secret
    left = n
    for pair_id in ids:
        if not left:
            return
        query, gallery = standing[pair_id].sightings()
        pictures = _picture(log, gallery.crop), _picture(log, query.crop)
        if pictures[0] is not None and pictures[1] is not None:
            left -= 1
            yield _Pair(pair_id, (gallery, query), (pictures[0], pictures[1]))


def _picture(log: Log, at: Position | None) -> bytes | None:
    if at is None:
        return None
    found = log.read(at.topic, at.partition, at.offset, 1)
    if not found or found[0].offset != at.offset:
        return None
    try:
        return crop_in(found[0])
    except BadRecord:
        return None


class _Answer(msgspec.Struct):
    pair: str
    answer: str


def _asked(pairs: list[_Pair], path: Path | None, tell: Callable[[_Pair], None]) -> Counter[str]:
    """How often each answer was given; ``tell`` is called with each pair of two people."""
    known = _known(path)
    for number, pair in enumerate(pairs, 1):
        if pair.id in known:
            continue
        try:
            key = click.prompt(
                f"{number}/{len(pairs)}  {pair.caption}. One person?",
                type=click.Choice(list(_ANSWERS)),
            )
        except click.Abort:  # Ctrl-C, or the end of what is typed
            click.echo()
            break
        if key == "q":
            break
        known[pair.id] = _ANSWERS[key]
        if path is not None:
            with path.open("a") as kept:
                kept.write(json.dumps({"pair": pair.id, "answer": known[pair.id]}) + "\n")
        if key == "n":
            tell(pair)
    asked = {pair.id for pair in pairs}
    return Counter(answer for pair, answer in known.items() if pair in asked)


def _known(path: Path | None) -> dict[str, str]:
    """Answers that were given before."""
    if path is None or not path.is_file():
        return {}
    try:
        lines = [msgspec.json.decode(line, type=_Answer) for line in path.read_bytes().splitlines()]
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        raise DataError(f"{path} holds no answers of an audit: {error}") from error
    return {line.pair: line.answer for line in lines}


def _tell(log: Log, topics: TopicSettings, site: str, correct: bool, pair: _Pair) -> None:
    if correct:
        first, second = ((sighting.id,) for sighting in pair.sightings)
        name = secrets.token_hex(8)
        said = OperatorCorrection(name, Verdict.DIFFERENT, first, second, "audit", time.time())
        say(log, topics, site, said)


class _Calibration(msgspec.Struct, rename="camel"):
    site: str
    expected_precision: float
    learned: bool


def _expected(log: Log, topic: str, site: str) -> float | None:
    """What the last calibration expects."""
    found = None
    for value in values(log, topic):
        try:
            told = msgspec.json.decode(value, type=_Calibration)
        except (msgspec.MsgspecError, ValueError):
            continue
        if told.site == site and told.learned:
            found = told.expected_precision
    return found


def _print(said: Counter[str], expected: float | None) -> None:
    found = Share.of(said["yes"], said["yes"] + said["no"])
    if found.share is None:
        click.echo("No pair was judged.")
        return
    click.echo(
        f"{found.right} of {found.n} pairs are one person: precision {found.share:.3f}, between "
        f"{found.low:.3f} and {found.high:.3f} at 95 %. {said['unclear']} could not be told."
    )
    told = "not known" if expected is None else f"{expected:.3f}"
    click.echo(f"Expected without a label: {told}.")
