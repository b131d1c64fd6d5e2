"""One person's data taken out of Kafka topics.

An event of others that names the person is taken out with theirs. What it said of others is said
again at the end of the topic without the name, where nothing later says more. An operator's word
goes as a whole: said again it might overrule a later one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
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
from stgal_stream.wire.events import with_id

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
        if found.doomed and not found.n_without_key:
            _say_again(log, topic, found)
            found.n_without_key = _n_older_since(log, topic, found)
        if found.n_without_key:
            done.left[topic] = f"{found.n_without_key} records were written by an older version"
        else:
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
    found.read_to[partition.number] = 0
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


def _n_older_since(log: KafkaLog, topic: str, found: _Found) -> int:
    """How many records without a key of their own came since the search."""
    return sum(
        not is_own_key(record.key)
        for number, start in found.read_to.items()
        for record in records(log, topic, number, start)
    )


def _note(record: Record, cleaned: bytes | None, found: _Found) -> None:
    """What of others would be lost with a record that goes, as far as it is not said later."""
    event = json_of(record)
    if event is None:
        return
    subject = _subject(event)
    if subject is None:
        if event.get("type") == "renamed":  # that is where they are said to be again
            _renamed(event, [content for _, _, content in found.again.values()])
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


def _say_again(log: KafkaLog, topic: str, found: _Found) -> None:
    if not found.again:
        return
    log.append([_record(topic, *said) for said in found.again.values()])
    log.append([r for n in sorted(found.read_to) for r in _overtaken(log, topic, n, found)])


def _record(topic: str, partition: Partition, key: bytes | None, content: Content) -> NewRecord:
    return NewRecord(topic, key, msgspec.json.encode(content), partition=partition.number)


def _overtaken(log: KafkaLog, topic: str, number: int, found: _Found) -> list[NewRecord]:
    """What a daemon has said of the same since the search: ours must not be the last word."""
    newer: dict[Subject, NewRecord] = {}
    left = {
        subject: content for subject, (at, _, content) in found.again.items() if at.number == number
    }
    for record in records(log, topic, number, found.read_to[number]):
        event = json_of(record) or {}
        subject = _subject(event)
        if subject is None and event.get("type") == "renamed":
            for renamed in _renamed(event, left.values()):
                # Another event, with an id of its own.
                body = {name: value for name, value in renamed.items() if name != "eventId"}
                newer[_subject(renamed) or ()] = NewRecord(
                    topic, record.key, with_id(body), partition=number
                )
        elif subject in left:
            if event.get("eventId") == left[subject].get("eventId"):
                del left[subject]  # what is said after ours needs nothing
            else:
                newer[subject] = NewRecord(topic, record.key, record.value, partition=number)
    return list(newer.values())


def _renamed(event: Content, said: Iterable[Content]) -> list[Content]:
    """Of events those whose identity was renamed, with its new name."""
    before = event.get("site"), event.get("from")
    mine = [each for each in said if (each.get("site"), each.get("globalId")) == before]
    for content in mine:
        content["globalId"] = event.get("globalId")
        if "to" in content:
            content["to"] = event.get("globalId")
    return mine
