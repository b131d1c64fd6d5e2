"""Single records taken out of a Kafka topic: tombstones, and a compaction that is asked for.

Such a topic is deleted by time and not compacted: its keys are all different, so compaction would
copy all and find nothing. It is switched on for as long as an erasure takes.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import AuthorizationError, KafkaError

from stgal_stream.errors import LogError, PermanentLogError
from stgal_stream.log.kafka_faults import RIGHTS, brief, told
from stgal_stream.log.kafka_keys import own_key
from stgal_stream.log.port import Partition
from stgal_stream.log.reading import records

if TYPE_CHECKING:
    from kafka import KafkaAdminClient, KafkaProducer

    from stgal_stream.log.kafka import KafkaLog

_SEGMENT, _SEGMENT_S = "segment.ms", 1.0
_ASK_S = 0.5
# The newest segment of a partition is never compacted: it must end soon after the tombstones.
COMPACTING = {
    "cleanup.policy": "compact,delete",
    "min.cleanable.dirty.ratio": "0.0",
    "min.compaction.lag.ms": "0",
    _SEGMENT: str(int(1000 * _SEGMENT_S)),
}


Overrides = dict[str, dict[str, str | None]]


@dataclass(frozen=True, slots=True)
class Doomed:
    """A record that is to go; its key is one that no other has."""

    partition: Partition
    offset: int
    key: bytes


def take_out(
    log: KafkaLog,
    admin: KafkaAdminClient,
    producer: KafkaProducer,
    doomed: Collection[Doomed],
    *,
    timeout_s: float,
) -> bool:
    """Takes records out of their topics; False where the broker's log cleaner had not done so in
    time. It can begin again then: nothing is lost by doing it twice.

    Raises:
        LogError: the broker did not do it; permanent where this user may not change topics.
    """
    topics = sorted({each.partition.topic for each in doomed})
    partitions = sorted({each.partition for each in doomed})
    with _compacting(admin, topics) as before:
        _bury(producer, [(each.partition, each.key) for each in doomed])
        time.sleep(1.5 * _SEGMENT_S)
        # The next record begins a segment, and so ends the one in which the tombstones lie.
        _bury(producer, [(partition, own_key(None)) for partition in partitions])
        _set(admin, {topic: {_SEGMENT: before[topic][_SEGMENT]} for topic in topics})
        return _wait_until_gone(log, doomed, time.monotonic() + timeout_s)


def _bury(producer: KafkaProducer, tombstones: Collection[tuple[Partition, bytes]]) -> None:
    with told("given tombstones"):
        sent = [
            producer.send(topic=at.topic, partition=at.number, key=key, value=None)
            for at, key in tombstones
        ]
        producer.flush()
        for future in sent:
            future.get(timeout=30)


def _wait_until_gone(log: KafkaLog, doomed: Collection[Doomed], deadline: float) -> bool:
    left: dict[Partition, list[int]] = {}
    for each in sorted(doomed, key=lambda each: each.offset):
        left.setdefault(each.partition, []).append(each.offset)
    while left:
        # The newest of a partition is asked for alone; when it is gone, all are looked for.
        gone = [at for at, offsets in left.items() if not _found(log, at, offsets[-1:])]
        for at in gone:
            left[at] = _found(log, at, left[at])
        left = {at: offsets for at, offsets in left.items() if offsets}
        if left and time.monotonic() > deadline:
            return False
        if left:
            time.sleep(_ASK_S)
    return True


def _found(log: KafkaLog, at: Partition, offsets: Sequence[int]) -> list[int]:
    """Of ascending offsets those at which a record can be read."""
    there = {r.offset for r in records(log, at.topic, at.number, offsets[0], offsets[-1] + 1)}
    return sorted(there.intersection(offsets))


@contextmanager
def _compacting(admin: KafkaAdminClient, topics: Collection[str]) -> Iterator[Overrides]:
    """Topics are compacted, too, within; then their settings are what they were."""
    before = _overrides(admin, topics)
    try:
        _set(admin, dict.fromkeys(topics, COMPACTING))
        yield before
    finally:
        _set(admin, before)


def _overrides(admin: KafkaAdminClient, topics: Collection[str]) -> Overrides:
    """By topic what it has of its own of these settings; None where it has the broker's. Ours are
    what an erasure that was killed has left behind: then the policy is that of a topic that we
    make, the rest the broker's."""
    with told("asked for the settings of topics"):
        found = admin.describe_configs([_resource(topic) for topic in topics]).get("topic", {})
    return {
        topic: {
            name: _own_value(found.get(topic, {}).get(name), ours)
            for name, ours in COMPACTING.items()
        }
        for topic in topics
    }


def _own_value(described: Mapping[str, Any] | None, ours: str) -> str | None:
    if described is None or described.get("config_source") != "DYNAMIC_TOPIC_CONFIG":
        return None
    value = str(described.get("value"))
    if value != ours:
        return value
    return "delete" if ours == COMPACTING["cleanup.policy"] else None


def _set(admin: KafkaAdminClient, values: Mapping[str, Mapping[str, str | None]]) -> None:
    resources = [
        _resource(
            topic,
            {n: ("DELETE", None) if v is None else ("SET", v) for n, v in settings.items()},
        )
        for topic, settings in values.items()
    ]
    names = ", ".join(values)
    try:
        answers = admin.alter_configs(resources)
    except AuthorizationError as error:
        raise PermanentLogError(f"{names}: this user may not change them", hint=RIGHTS) from error
    except (KafkaError, ValueError) as error:  # the second of a broker that is too old
        raise LogError(f"the settings of {names} were not changed: {brief(error)}") from error
    faults = [answer for told_ in answers.values() for answer in told_.values() if answer != "OK"]
    if faults:
        text = f"the settings of {names} were not changed: {faults[0]}"
        raise PermanentLogError(text, hint=RIGHTS)


def _resource(topic: str, configs: Mapping[str, Any] | None = None) -> ConfigResource:
    return ConfigResource(ConfigResourceType.TOPIC, topic, configs)
