"""What the log and its subscriptions ask of kafka-python alike: settings and conversions."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import CorruptRecordError, KafkaError, UnknownTopicOrPartitionError

from stgal_stream.log.kafka_keys import own_key
from stgal_stream.log.port import NewRecord, Partition, Record

logger = logging.getLogger(__name__)

MAX_REQUEST_BYTES = 8 * 1024 * 1024
_FETCH_BYTES = 1024 * 1024


def admin_client(settings: Mapping[str, Any]) -> KafkaAdminClient:
    """Connects. Where it cannot, kafka-python would leave a thread and sockets behind."""
    made: list[Any] = []

    def make(**options: Any) -> Any:
        made.append(KafkaAdminClient.DEFAULT_CONFIG["kafka_client"](**options))
        return made[-1]

    try:
        return KafkaAdminClient(**settings, kafka_client=make)
    except BaseException:
        for client in made:
            client.close()
        raise


def close(client: Any, **options: Any) -> None:
    """Lets go of a client; that a broker is gone by then is nobody's fault any more."""
    try:
        client.close(**options)
    except KafkaError as error:
        logger.info("%s did not close in order: %s", type(client).__name__, error)


def is_damaged(error: CorruptRecordError) -> bool:
    """Whether a batch fails its checksum (the broker's disk, and for the operator to see) rather
    than being what somebody sent."""
    return "crc" in str(error).lower()


def lag(position: int, first: int, end: int) -> int:
    """Offsets left to read; what retention took before it was read does not count."""
    return end - max(position, first)


def consumer_settings() -> dict[str, Any]:
    """Settings of every consumer: committed records only, offsets in our own transactions."""
    return {
        "isolation_level": "read_committed",
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "max_partition_fetch_bytes": _FETCH_BYTES,
        "fetch_max_wait_ms": 50,
        "allow_auto_create_topics": False,
    }


def send(producer: Any, records: Sequence[NewRecord], erasable: Set[str]) -> list[Any]:
    """Hands records to a ``KafkaProducer``: a future for each. Those of ``erasable`` topics get
    keys of their own.

    Raises:
        KafkaError: it does not take them; a partition that was added is unknown to it for minutes.
    """
    try:
        return [
            producer.send(
                topic=record.topic,
                key=own_key(record.key) if record.topic in erasable else record.key,
                value=record.value,
                headers=list(record.headers),
                partition=record.partition,
            )
            for record in records
        ]
    except ValueError as error:
        raise UnknownTopicOrPartitionError(str(error)) from error


def received(polled: Mapping[Any, Iterable[Any]], erasable: Set[str]) -> list[Record]:
    """What a client polled as the port's records. A tombstone in an ``erasable`` topic is passed
    over: the record that it takes out was read before, or never will be."""
    return [
        _from_kafka(record)
        for batch in polled.values()
        for record in batch
        if record.value is not None or record.topic not in erasable
    ]


def _from_kafka(record: Any) -> Record:
    return Record(
        Partition(record.topic, record.partition),
        int(record.offset),
        record.key,
        record.value if record.value is not None else b"",
        tuple((str(name), bytes(value or b"")) for name, value in record.headers or ()),
        record.timestamp / 1000.0,
    )
