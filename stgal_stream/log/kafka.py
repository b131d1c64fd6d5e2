"""The log on Apache Kafka: kafka-python, transactions, ``read_committed``.

One transactional producer per member (``stgal-<group>-<instance>``): a restarted member fences its
own past self and so ends a transaction that a kill left open. The group's generation travels with
the offsets (KIP-447), so a member that lost its partitions cannot commit.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from kafka import (
    ConsumerRebalanceListener,
    KafkaAdminClient,
    KafkaConsumer,
    KafkaProducer,
    TopicPartition,
)
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import (
    CorruptRecordError,
    InvalidProducerEpochError,
    KafkaConfigurationError,
    KafkaError,
    ProducerFencedError,
    TopicAlreadyExistsError,
)
from kafka.structs import OffsetAndMetadata

from stgal_stream.errors import ConfigError, FencedError, LogError
from stgal_stream.log.port import NewRecord, Partition, Record, TopicSpec

logger = logging.getLogger(__name__)

_MAX_REQUEST_BYTES = 8 * 1024 * 1024
_FETCH_BYTES = 1024 * 1024
_TRANSACTION_TIMEOUT_MS = 15_000
_RETRY_BACKOFF_MS = 5  # the library's 100 ms shows in the tail of every small transaction
_PROBE_S = 5.0
_READ_S = 10.0
_FENCED = (ProducerFencedError, InvalidProducerEpochError)


class KafkaLog:
    """A Kafka cluster.

    ``security`` is passed through to the client (``security_protocol``, ``ssl_*``, ``sasl_*``).
    ``instance`` names this member among its group's; two members must not share one.

    Raises:
        LogError: no broker answers.
        ConfigError: the client refuses the security settings.
    """

    def __init__(
        self,
        brokers: Sequence[str],
        *,
        security: Mapping[str, Any] | None = None,
        instance: str | None = None,
        connect_timeout_s: float = 30.0,
    ) -> None:
        self._common: dict[str, Any] = {
            "bootstrap_servers": list(brokers),
            "bootstrap_timeout_ms": int(connect_timeout_s * 1000),
            "retry_backoff_ms": _RETRY_BACKOFF_MS,
            **(security or {}),
        }
        self._brokers = ",".join(brokers)
        self._instance = instance or socket.gethostname()
        self._producer: KafkaProducer | None = None
        self._readers: dict[TopicPartition, KafkaConsumer] = {}
        try:
            self._admin = KafkaAdminClient(**self._common)
            self._identity = str(self._admin.describe_cluster()["cluster_id"])
        except (KafkaError, OSError) as error:
            if isinstance(error, KafkaConfigurationError):
                raise ConfigError(f"Kafka's client refuses the settings: {error}") from error
            raise LogError(
                f"no Kafka broker answers at {self._brokers}: {error or type(error).__name__}",
                hint="is the address right and the broker up? --embedded DIR needs none",
            ) from error
        except (AssertionError, TypeError, ValueError) as error:
            raise ConfigError(f"Kafka's client refuses the settings: {error}") from error

    @property
    def identity(self) -> str:
        """The cluster's id."""
        return self._identity

    def ensure_topics(self, specs: Iterable[TopicSpec]) -> list[str]:
        """Makes missing topics; what of the existing ones differs, in words."""
        notes: list[str] = []
        for spec in specs:
            if not self.partitions(spec.name):
                self._create(spec)
                continue
            notes += self._differences(spec)
        return notes

    def _create(self, spec: TopicSpec) -> None:
        options = {"num_partitions": spec.n_partitions, "configs": _topic_configs(spec)}
        try:
            self._admin.create_topics({spec.name: options}, wait_for_metadata=True)
        except TopicAlreadyExistsError:
            return
        except KafkaError as error:
            raise LogError(
                f"topic {spec.name} could not be made: {error}",
                hint="make it by hand, or allow this user to create topics",
            ) from error

    def _differences(self, spec: TopicSpec) -> list[str]:
        found = []
        n = self.partitions(spec.name)
        if n != spec.n_partitions:
            found.append(f"{spec.name} has {n} partitions, {spec.n_partitions} are configured")
        resource = ConfigResource(ConfigResourceType.TOPIC, spec.name)
        described = self._admin.describe_configs([resource], config_filter="all")
        actual = _config_values(described, spec.name)
        for name, wanted in _topic_configs(spec).items():
            if name in actual and actual[name] != wanted:
                found.append(f"{spec.name} has {name}={actual[name]}, {wanted} is configured")
        return found

    def append(self, records: Sequence[NewRecord]) -> None:
        """Writes records through an idempotent producer and waits for all of them."""
        if self._producer is None:
            self._producer = KafkaProducer(
                **self._common, max_request_size=_MAX_REQUEST_BYTES, linger_ms=5, acks="all"
            )
        try:
            sent = [self._producer.send(**_as_kafka(record)) for record in records]
            self._producer.flush()
            for future in sent:
                future.get(timeout=30)
        except KafkaError as error:
            raise LogError(f"Kafka did not take the records: {error}") from error

    def subscribe(self, group: str, topics: Sequence[str]) -> KafkaSubscription:
        """Joins a consumer group."""
        return KafkaSubscription(self._common, group, self._instance, topics)

    def read(self, topic: str, partition: int, offset: int, max_records: int) -> list[Record]:
        """Committed records from an offset on.

        Raises:
            LogError: the broker did not give them in time.
        """
        with _told(f"read {topic}"):
            return self._read(TopicPartition(topic, partition), offset, max_records)

    def _read(self, at: TopicPartition, offset: int, max_records: int) -> list[Record]:
        reader = self._readers.get(at)
        if reader is None:
            reader = self._readers[at] = KafkaConsumer(**self._common, **_consumer_settings())
            reader.assign([at])
        end = reader.end_offsets([at])[at]
        offset = max(offset, reader.beginning_offsets([at])[at])
        found: list[Record] = []
        reader.seek(at, offset)
        deadline = time.monotonic() + _READ_S
        while len(found) < max_records and offset < end:
            if time.monotonic() > deadline:
                raise LogError(f"{at.topic} could not be read to its end within {_READ_S:.0f} s")
            try:
                polled = reader.poll(timeout_ms=200, max_records=max_records - len(found))
            except CorruptRecordError as error:
                if _is_damaged(error):
                    raise
                reader.seek(at, reader.position(at) + 1)
                polled = {}
            fresh = [_from_kafka(r) for batch in polled.values() for r in batch]
            if fresh:
                deadline = time.monotonic() + _READ_S
            found += fresh
            offset = reader.position(at)
        return found

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has; 0 if there is no such topic."""
        with _told(f"asked about topic {topic}"):
            described = self._admin.describe_topics([topic])
        for entry in described:
            if entry.get("error_code", 0) == 0:
                return len(entry["partitions"])
        return 0

    def close(self) -> None:
        """Closes all connections."""
        if self._producer is not None:
            _close(self._producer, timeout=5)
        for reader in self._readers.values():
            _close(reader, autocommit=False)
        _close(self._admin)


class _Held(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
    """The partitions that are held, each with the number of the rebalance that gave it."""

    def __init__(self) -> None:
        self.epochs: dict[Partition, int] = {}
        self._n_rebalances = 0

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        for at in revoked:
            self.epochs.pop(Partition(at.topic, at.partition), None)

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._n_rebalances += 1
        for at in assigned:
            self.epochs[Partition(at.topic, at.partition)] = self._n_rebalances


class KafkaSubscription:
    """One member of a consumer group with its own transactional producer."""

    def __init__(
        self, common: Mapping[str, Any], group: str, instance: str, topics: Sequence[str]
    ) -> None:
        self._group = group
        self._common = common
        try:
            self._producer = KafkaProducer(
                **common,
                transactional_id=f"stgal-{group}-{instance}",
                transaction_timeout_ms=_TRANSACTION_TIMEOUT_MS,
                max_request_size=_MAX_REQUEST_BYTES,
                linger_ms=2,
                acks="all",
            )
            self._producer.init_transactions()
            self._consumer = KafkaConsumer(
                **common,
                **_consumer_settings(),
                group_id=group,
                group_instance_id=f"{group}-{instance}",
                session_timeout_ms=10_000,
            )
            self._held = _Held()
            self._consumer.subscribe(list(topics), listener=self._held)
        except KafkaError as error:
            raise LogError(f"group {group} could not be joined: {error}") from error

    def assignment(self) -> dict[Partition, int]:
        """The partitions that the group gives this member, with their epochs."""
        return dict(self._held.epochs)

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """The next committed records."""
        with _told("read"):
            try:
                polled = self._consumer.poll(
                    timeout_ms=int(timeout_s * 1000), max_records=max_records
                )
            except CorruptRecordError as error:
                if _is_damaged(error):
                    raise
                return self._step_over()
        return [_from_kafka(record) for batch in polled.values() for record in batch]

    def _step_over(self) -> list[Record]:
        """Goes past a record that the client cannot parse (a header's name that is no UTF-8); it
        comes out as a record with a fault. The client does not say where it lies, so every
        partition is tried at its position."""
        for at in sorted(self._consumer.assignment()):
            position = int(self._consumer.position(at))
            fault = self._fault_at(at, position)
            if fault is not None:
                self._consumer.seek(at, position + 1)
                where = Partition(at.topic, at.partition)
                return [Record(where, position, None, b"", (), time.time(), fault)]
        raise LogError("a record cannot be parsed, and it could not be found")

    def _fault_at(self, at: TopicPartition, position: int) -> str | None:
        probe = KafkaConsumer(**self._common, **_consumer_settings())
        try:
            probe.assign([at])
            probe.seek(at, position)
            deadline = time.monotonic() + _PROBE_S
            while time.monotonic() < deadline and probe.end_offsets([at])[at] > position:
                if probe.poll(timeout_ms=200, max_records=1):
                    return None
        except CorruptRecordError as error:
            return f"Kafka's client cannot parse the record: {error}"
        finally:
            probe.close(autocommit=False)
        return None

    def commit(self, records: Sequence[NewRecord], offsets: Mapping[Partition, int]) -> None:
        """Writes records and offsets in one transaction."""
        at = {
            TopicPartition(p.topic, p.number): OffsetAndMetadata(offset, "", -1)
            for p, offset in offsets.items()
        }
        try:
            self._producer.begin_transaction()
            sent = [self._producer.send(**_as_kafka(record)) for record in records]
            self._producer.flush()
            for future in sent:
                future.get(timeout=30)
            self._producer.send_offsets_to_transaction(at, self._consumer.group_metadata())
            self._producer.commit_transaction()
        except _FENCED as error:
            raise FencedError(
                f"another member took over in group {self._group}: {error}",
                hint="give each member of a group its own kafka.instance",
            ) from error
        except KafkaError as error:
            self._abort()
            raise LogError(f"a Kafka transaction failed and was undone: {error}") from error

    def committed(self, partition: Partition) -> int | None:
        """The group's committed offset."""
        with _told("asked for a committed offset"):
            offset = self._consumer.committed(TopicPartition(partition.topic, partition.number))
        return None if offset is None else int(offset)

    def seek(self, partition: Partition, offset: int) -> None:
        """Reads on from an offset."""
        with _told("made to seek"):
            self._consumer.seek(TopicPartition(partition.topic, partition.number), offset)

    def lags(self) -> dict[Partition, int]:
        """How many offsets are still to be read; one request for all partitions."""
        at = sorted(self._consumer.assignment())
        with _told("asked for its end"):
            if not at:
                return {}
            ends, firsts = self._consumer.end_offsets(at), self._consumer.beginning_offsets(at)
            return {
                Partition(tp.topic, tp.partition): _lag(
                    int(self._consumer.position(tp)), int(firsts[tp]), int(end)
                )
                for tp, end in ends.items()
            }

    def beginning(self, partition: Partition) -> int:
        """The offset of the oldest record kept."""
        at = TopicPartition(partition.topic, partition.number)
        with _told("asked for its beginning"):
            return int(self._consumer.beginning_offsets([at])[at])

    def end(self, partition: Partition) -> int:
        """The offset after the newest committed record."""
        at = TopicPartition(partition.topic, partition.number)
        with _told("asked for its end"):
            return int(self._consumer.end_offsets([at])[at])

    def position(self, partition: Partition) -> int:
        """The offset that is read next."""
        at = TopicPartition(partition.topic, partition.number)
        with _told("asked for a position"):
            return int(self._consumer.position(at))

    def close(self) -> None:
        """Leaves the group."""
        _close(self._consumer, autocommit=False)
        _close(self._producer, timeout=5)

    def _abort(self) -> None:
        try:
            self._producer.abort_transaction()
        except KafkaError:
            return  # the next init_transactions of this instance ends it


def _close(client: Any, **options: Any) -> None:
    """Lets go of a client; that a broker is gone by then is nobody's fault any more."""
    try:
        client.close(**options)
    except KafkaError as error:
        logger.info("%s did not close in order: %s", type(client).__name__, error)


@contextmanager
def _told(what: str) -> Iterator[None]:
    """A fault of the client as the port's error. A partition that the group just took away shows
    as an assertion or an illegal state."""
    try:
        yield
    except (KafkaError, AssertionError) as error:
        detail = str(error) or type(error).__name__
        raise LogError(f"Kafka could not be {what}: {detail}") from error


def _is_damaged(error: CorruptRecordError) -> bool:
    """Whether a batch fails its checksum (the broker's disk, and for the operator to see) rather
    than being what somebody sent."""
    return "crc" in str(error).lower()


def _lag(position: int, first: int, end: int) -> int:
    """Offsets left to read; what retention took before it was read does not count."""
    return end - max(position, first)


def _consumer_settings() -> dict[str, Any]:
    return {
        "isolation_level": "read_committed",
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "max_partition_fetch_bytes": _FETCH_BYTES,
        "fetch_max_wait_ms": 50,
        "allow_auto_create_topics": False,
    }


def _topic_configs(spec: TopicSpec) -> dict[str, str]:
    retention = -1 if spec.retention_s is None else int(spec.retention_s * 1000)
    return {
        "cleanup.policy": "compact" if spec.compacted else "delete",
        "retention.ms": str(retention),
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(_MAX_REQUEST_BYTES),
    }


def _config_values(described: Any, topic: str) -> dict[str, str]:
    """Kafka's answer to describe_configs as name -> value."""
    found = described.get("topic", described) if isinstance(described, dict) else {}
    values = found.get(topic, {})
    return {
        str(name): str(entry.get("value") if isinstance(entry, dict) else entry)
        for name, entry in values.items()
    }


def _as_kafka(record: NewRecord) -> dict[str, Any]:
    return {
        "topic": record.topic,
        "key": record.key,
        "value": record.value,
        "headers": list(record.headers),
        "partition": record.partition,
    }


def _from_kafka(record: Any) -> Record:
    return Record(
        Partition(record.topic, record.partition),
        int(record.offset),
        record.key,
        record.value if record.value is not None else b"",
        tuple((str(name), bytes(value or b"")) for name, value in record.headers or ()),
        record.timestamp / 1000.0,
    )
