"""One person's data taken out of Kafka topics.

A record of others that names the person is taken out with theirs. What it said of others is said
again at the end of the topic without the name, where nothing later says more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from stgal_stream.errors import PermanentLogError
from stgal_stream.log.kafka import KafkaLog
from stgal_stream.log.kafka_erasure import Doomed
from stgal_stream.log.kafka_keys import is_own_key
from stgal_stream.log.port import NewRecord, Partition, Record
from stgal_stream.log.reading import records
from stgal_stream.privacy.person import Content, Person, json_of
from stgal_stream.privacy.redaction import as_joined, embedding_without, event_without
from stgal_stream.settings import Config

_TIMEOUT_S = 120.0  # Kafka's log cleaner looks for work every 15 s
Judge = Callable[[Record, Person], bytes | None]


@dataclass(slots=True)
class Scrubbed:
    """How many records left each topic, and why those of others did not."""

    counts: dict[str, int] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)


def scrub_topics(
    log: KafkaLog,
    config: Config,
    person: Person,
    on_step: Callable[[str], None] = lambda what: None,
) -> Scrubbed:
    """Takes a person out of the topics that we write.

    Identities come last: where it was interrupted the person is still found: begin again.

    Raises:
        LogError: the log could not be read or written.
    """
    topics = config.topics
    done = Scrubbed()
    beside = {topics.embeddings: embedding_without} | dict.fromkeys(
        (topics.associations, topics.corrections, topics.dead_letters), event_without
    )
    for judges in (beside, {topics.identities: event_without}):
        on_step(f"taking them out of {', '.join(judges)}")
        _scrub(log, judges, person, done)
    return done


def _scrub(log: KafkaLog, judges: Mapping[str, Judge], person: Person, done: Scrubbed) -> None:
    doomed: list[Doomed] = []
    for topic, judge in judges.items():
        found = _Found()
        for number in range(log.partitions(topic)):
            _search(log, Partition(topic, number), judge, person, found)
        if found.n_without_key:
            done.left[topic] = f"{found.n_without_key} records were written by an older version"
        elif found.doomed:
            _say_again(log, topic, found)
            doomed += found.doomed
    counts = Counter(each.partition.topic for each in doomed)
    try:
        gone = not doomed or log.take_out(doomed, _TIMEOUT_S)
        why = "the broker has not compacted it in time (begin again)"
    except PermanentLogError as error:
        gone, why = False, str(error)
    if gone:
        done.counts |= counts
    else:
        done.left |= dict.fromkeys(counts, why)


# --- what is to go, and what is to be said again ----------------------------------------------

Subject = tuple[object, ...]


@dataclass(slots=True)
class _Found:
    """Records that are to go; of others what is to be said again, by whom it is about, each with
    its partition."""

    doomed: list[Doomed] = field(default_factory=list)
    again: dict[Subject, tuple[Partition, bytes | None, Content]] = field(default_factory=dict)
    unborn: set[Subject] = field(default_factory=set)  # whose first event goes
    n_without_key: int = 0
    read_to: dict[int, int] = field(default_factory=dict)  # by partition


def _search(
    log: KafkaLog, partition: Partition, judge: Judge, person: Person, found: _Found
) -> None:
    for record in records(log, partition.topic, partition.number):
        found.read_to[partition.number] = record.offset + 1
        if not is_own_key(record.key):
            found.n_without_key += 1
            continue
        assert record.key is not None
        cleaned = judge(record, person)
        if cleaned != record.value:
            found.doomed.append(Doomed(partition, record.offset, record.key))
        _note(record, cleaned, found)


def _note(record: Record, cleaned: bytes | None, found: _Found) -> None:
    """What of others would be lost with a record that goes, as far as it is not said later."""
    event = json_of(record)
    if event is None:
        return
    subject = _subject(event)
    if subject is None:
        if event.get("type") == "renamed":
            _follow(event, found)
        return
    goes = cleaned != record.value
    if event.get("type") in ("created", "joined"):
        (found.unborn.add if goes else found.unborn.discard)(subject)
    found.again.pop(subject, None)
    if cleaned is not None and (goes or subject in found.unborn):
        content = msgspec.json.decode(cleaned)
        if subject in found.unborn:
            content = as_joined(content)
        found.again[subject] = (record.partition, record.key, content)


def _subject(event: Content) -> Subject | None:
    """Whom an event is about: a tracklet, or a pair."""
    if isinstance(event.get("pairId"), str):
        return event.get("site"), event["pairId"]
    tracklet = event.get("tracklet")
    if isinstance(tracklet, dict):
        return event.get("site"), tracklet.get("id")
    return None


def _follow(renamed: Content, found: _Found) -> None:
    """Whoever was of an identity is of another now: that is where they are said to be again."""
    for _, _, content in found.again.values():
        if (content.get("site"), content.get("globalId")) == (
            renamed.get("site"),
            renamed.get("from"),
        ):
            content["globalId"] = renamed.get("globalId")
            if "to" in content:
                content["to"] = renamed.get("globalId")


def _say_again(log: KafkaLog, topic: str, found: _Found) -> None:
    said = {subject: content["eventId"] for subject, (_, _, content) in found.again.items()}
    log.append(
        [
            NewRecord(topic, key, msgspec.json.encode(content), partition=partition.number)
            for partition, key, content in found.again.values()
        ]
    )
    if said:
        log.append([r for n in found.read_to for r in _overtaken(log, topic, n, said, found)])


def _overtaken(
    log: KafkaLog, topic: str, number: int, said: Mapping[Subject, str], found: _Found
) -> list[NewRecord]:
    """What a daemon has said of the same since the search: ours must not be the last word."""
    newer: dict[Subject, NewRecord] = {}
    ours: set[Subject] = set()
    for record in records(log, topic, number, found.read_to[number]):
        event = json_of(record) or {}
        subject = _subject(event)
        if subject not in said or subject is None or subject in ours:
            continue
        if event.get("eventId") == said[subject]:
            ours.add(subject)
        else:
            newer[subject] = NewRecord(topic, record.key, record.value, partition=number)
    return list(newer.values())
