"""The log on Apache Kafka: kafka-python, transactions, ``read_committed``."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import (
    CorruptRecordError,
    KafkaConfigurationError,
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
)

from stgal_stream.errors import ConfigError, LogError, PermanentLogError
from stgal_stream.log.kafka_client import (
    MAX_REQUEST_BYTES,
    admin_client,
    close,
    consumer_settings,
    is_damaged,
    received,
    send,
)
from stgal_stream.log.kafka_erasure import Doomed, take_out
from stgal_stream.log.kafka_faults import (
    RIGHTS,
    brief,
    check_files,
    connection_faults,
    no_answer,
    refusal,
    told,
)
from stgal_stream.log.kafka_keys import ByGivenKey
from stgal_stream.log.kafka_subscription import KafkaSubscription
from stgal_stream.log.port import NewRecord, Partition, Record, TopicSpec

_RETRY_BACKOFF_MS = 5  # the library's 100 ms shows in the tail of every small transaction
_READ_S = 10.0
_ATTEMPT_S = 3.0  # of connecting: so soon a broker that refuses this client is known


class KafkaLog:
    """A Kafka cluster.

    ``security`` is passed through to the client (``security_protocol``, ``ssl_*``, ``sasl_*``).
    ``instance`` names this member among its group's; two members must not share one. A single
    record can be taken out of the ``erasable`` topics.

    Raises:
        LogError: no broker answers; permanent where one does, but will not have this client.
        ConfigError: the security settings cannot be used.
    """

    def __init__(
        self,
        brokers: Sequence[str],
        *,
        security: Mapping[str, Any] | None = None,
        instance: str | None = None,
        connect_timeout_s: float = 30.0,
        erasable: Set[str] = frozenset(),
    ) -> None:
        check_files(security or {})
        self._common: dict[str, Any] = {
            "bootstrap_servers": list(brokers),
            "bootstrap_timeout_ms": int(connect_timeout_s * 1000),
            "retry_backoff_ms": _RETRY_BACKOFF_MS,
            **(security or {}),
        }
        self._brokers = ",".join(brokers)
        self._instance = instance or socket.gethostname()
        self._erasable = erasable
        self._producer: KafkaProducer | None = None
        self._readers: dict[TopicPartition, KafkaConsumer] = {}
        self._reading = threading.Lock()  # a consumer is one thread's at a time
        try:
            self._admin = self._connected(connect_timeout_s)
            self._identity = str(self._admin.describe_cluster()["cluster_id"])
        except (KafkaConfigurationError, AssertionError, TypeError, ValueError) as error:
            raise ConfigError(f"Kafka's client refuses the settings: {error}") from error
        except (KafkaError, OSError) as error:
            raise no_answer(self._brokers, error, []) from error

    def _connected(self, timeout_s: float) -> KafkaAdminClient:
        """A client, as soon as a broker has it. The client itself waits as long for a broker that
        refuses it as for one that is down, so it is asked again and again."""
        deadline = time.monotonic() + timeout_s
        with connection_faults() as causes:
            while True:
                attempt_s = min(_ATTEMPT_S, max(0.1, deadline - time.monotonic()))
                settings = self._common | {"bootstrap_timeout_ms": int(1000 * attempt_s)}
                try:
                    return admin_client(settings)
                except KafkaConfigurationError:
                    raise
                except (KafkaError, OSError) as error:
                    refused = refusal(self._brokers, causes)
                    if refused is not None:
                        raise refused from error
                    if time.monotonic() >= deadline:
                        raise no_answer(self._brokers, error, causes) from error

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
                f"topic {spec.name} could not be made: {brief(error)}",
                hint="make it by hand, or allow this user to create topics",
            ) from error

    def _differences(self, spec: TopicSpec) -> list[str]:
        found = []
        n = self.partitions(spec.name)
        if n != spec.n_partitions:
            found.append(f"{spec.name} has {n} partitions, {spec.n_partitions} are configured")
        resource = ConfigResource(ConfigResourceType.TOPIC, spec.name)
        with told(f"asked for the settings of topic {spec.name}"):
            described = self._admin.describe_configs([resource], config_filter="all")
        actual = _config_values(described, spec.name)
        for name, wanted in _topic_configs(spec).items():
            if name in actual and actual[name] != wanted:
                found.append(f"{spec.name} has {name}={actual[name]}, {wanted} is configured")
        return found

    def append(self, records: Sequence[NewRecord]) -> None:
        """Writes records through an idempotent producer and waits for all of them."""
        producer = self._writer()
        with told("given the records"):
            sent = send(producer, records, self._erasable)
            producer.flush()
            for future in sent:
                future.get(timeout=30)

    def _writer(self) -> KafkaProducer:
        if self._producer is None:
            self._producer = KafkaProducer(
                **self._common,
                partitioner=ByGivenKey(),
                max_request_size=MAX_REQUEST_BYTES,
                linger_ms=5,
                acks="all",
            )
        return self._producer

    def take_out(self, doomed: Collection[Doomed], timeout_s: float) -> bool:
        """Takes single records out of ``erasable`` topics, for personal data that must go before
        its time; False where the broker had not done so in time. All others only append.

        Raises:
            LogError: the broker did not do it; permanent where this user may not change topics.
        """
        return take_out(self, self._admin, self._writer(), doomed, timeout_s=timeout_s)

    def subscribe(
        self, group: str, topics: Sequence[str], *, keep: bool = True
    ) -> KafkaSubscription:
        """Joins a consumer group.

        Raises:
            PermanentLogError: ``keep`` is off.
        """
        if not keep:
            raise PermanentLogError(
                f"embed.keep_crops is off, but pictures in Kafka's topic {', '.join(topics)} go by "
                "its retention alone",
                hint="shorten retention.ms and segment.ms of that topic, or let cameras send "
                "embeddings; the other topics hold no picture",
            )
        return KafkaSubscription(self._common, group, self._instance, topics, self._erasable)

    def read(self, topic: str, partition: int, offset: int, max_records: int) -> list[Record]:
        """Committed records from an offset on.

        Raises:
            LogError: the broker did not give them in time.
        """
        with self._reading, told(f"read {topic}"):
            return self._read(TopicPartition(topic, partition), offset, max_records)

    def end(self, topic: str, partition: int) -> int:
        """The offset after the newest committed record."""
        at = TopicPartition(topic, partition)
        with self._reading, told(f"asked for the end of {topic}"):
            return int(self._reader(at).end_offsets([at])[at])

    def ends(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        """The same of many, asked at once: a request to each broker that leads some of them."""
        asked = {TopicPartition(at.topic, at.number): at for at in partitions}
        if not asked:
            return {}
        with self._reading, told("asked for the ends of topics"):
            found = self._reader(next(iter(asked))).end_offsets(list(asked))
        return {asked[at]: int(offset) for at, offset in found.items()}

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """What a group has committed, by partition; what a transaction has not committed yet does
        not count."""
        with told(f"asked for what {group} has committed"):
            found = self._admin.list_group_offsets({group: None}).get(group, {})
        return {at.partition: int(o.offset) for at, o in found.items() if at.topic == topic}

    def _reader(self, at: TopicPartition) -> KafkaConsumer:
        reader = self._readers.get(at)
        if reader is None:
            reader = self._readers[at] = KafkaConsumer(**self._common, **consumer_settings())
            reader.assign([at])
        return reader

    def _read(self, at: TopicPartition, offset: int, max_records: int) -> list[Record]:
        reader = self._reader(at)
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
                if is_damaged(error):
                    raise
                reader.seek(at, reader.position(at) + 1)
                polled = {}
            fresh = received(polled, self._erasable)
            if fresh:
                deadline = time.monotonic() + _READ_S
            found += fresh
            offset = reader.position(at)
        return found

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has; 0 if there is no such topic."""
        with told(f"asked about topic {topic}"):
            described = self._admin.describe_topics([topic])
        for entry in described:
            code = entry.get("error_code", 0)
            if code == 0:
                return len(entry["partitions"])
            if code == TopicAuthorizationFailedError.errno:
                text = f"topic {topic}: there is none, or this user may not know of it"
                raise PermanentLogError(text, hint=RIGHTS)
        return 0

    def close(self) -> None:
        """Closes all connections."""
        if self._producer is not None:
            close(self._producer, timeout=5)
        for reader in self._readers.values():
            close(reader, autocommit=False)
        close(self._admin)


def _topic_configs(spec: TopicSpec) -> dict[str, str]:
    retention = -1 if spec.retention_s is None else int(spec.retention_s * 1000)
    return {
        "cleanup.policy": "compact" if spec.compacted else "delete",
        "retention.ms": str(retention),
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(MAX_REQUEST_BYTES),
    }


def _config_values(described: Any, topic: str) -> dict[str, str]:
    """Kafka's answer to describe_configs as name -> value."""
    found = described.get("topic", described) if isinstance(described, dict) else {}
    values = found.get(topic, {})
    return {
        str(name): str(entry.get("value") if isinstance(entry, dict) else entry)
        for name, entry in values.items()
    }
