"""One member of a consumer group on Kafka.

One transactional producer per member (``stgal-<group>-<instance>``): a restarted member fences its
own past self and so ends a transaction that a kill left open. The group's generation travels with
the offsets (KIP-447), so a member that lost its partitions cannot commit.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import (
    AuthorizationError,
    CorruptRecordError,
    InvalidProducerEpochError,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFencedError,
    RecordListTooLargeError,
)
from kafka.structs import OffsetAndMetadata

from stgal_stream.errors import FencedError, LogError, PermanentLogError
from stgal_stream.log.kafka_client import (
    MAX_REQUEST_BYTES,
    close,
    consumer_settings,
    is_damaged,
    lag,
    received,
    send,
)
from stgal_stream.log.kafka_faults import RIGHTS, brief, told
from stgal_stream.log.kafka_keys import ByGivenKey
from stgal_stream.log.port import NewRecord, Partition, Record

_TRANSACTION_TIMEOUT_MS = 15_000
_PROBE_S = 5.0
# A member that has no partition for so long joins again: the client can miss that the group has
# forgotten it.
_JOIN_AGAIN_S = 30.0
_FENCED = (ProducerFencedError, InvalidProducerEpochError)
# What the same records meet again, however often they are sent.
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)


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
        self,
        common: Mapping[str, Any],
        group: str,
        instance: str,
        topics: Sequence[str],
        erasable: Set[str],
    ) -> None:
        self._group = group
        self._erasable = erasable
        self._common = common
        self._read_from: dict[Partition, int] = {}
        try:
            self._producer = KafkaProducer(
                **common,
                transactional_id=f"stgal-{group}-{instance}",
                transaction_timeout_ms=_TRANSACTION_TIMEOUT_MS,
                partitioner=ByGivenKey(),
                max_request_size=MAX_REQUEST_BYTES,
                linger_ms=2,
                acks="all",
            )
            self._producer.init_transactions()
            self._consumer = KafkaConsumer(
                **common,
                **consumer_settings(),
                group_id=group,
                group_instance_id=f"{group}-{instance}",
                session_timeout_ms=10_000,
            )
            self._held = _Held()
            self._topics = list(topics)
            self._join()
        except AuthorizationError as error:
            text = f"group {group} could not be joined, this user may not: {brief(error)}"
            raise PermanentLogError(text, hint=RIGHTS) from error
        except KafkaError as error:
            raise LogError(f"group {group} could not be joined: {brief(error)}") from error

    def _join(self) -> None:
        self._consumer.subscribe(self._topics, listener=self._held)
        self._idle_since_s = time.monotonic()

    def _join_again(self) -> None:
        if self._held.epochs:
            self._idle_since_s = time.monotonic()
        elif time.monotonic() - self._idle_since_s > _JOIN_AGAIN_S:
            for topic in self._topics:
                if not self._consumer.partitions_for_topic(topic):
                    raise LogError(
                        f"there is no topic {topic!r} any more", hint="run stgal-stream topics"
                    )
            self._consumer.unsubscribe()
            self._join()

    def assignment(self) -> dict[Partition, int]:
        """The partitions that the group gives this member, with their epochs."""
        return dict(self._held.epochs)

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """The next committed records; none of a partition that has just come, or come back."""
        with told("read"):
            self._join_again()
            try:
                polled = self._consumer.poll(
                    timeout_ms=int(timeout_s * 1000), max_records=max_records
                )
            except CorruptRecordError as error:
                if is_damaged(error):
                    raise
                return self._step_over()
        records = received(polled, self._erasable)
        new = self._return_to_committed()
        return [record for record in records if record.partition not in new]

    def _return_to_committed(self) -> set[Partition]:
        """Puts partitions of a new epoch where the group has committed, and says which: over a
        rebalance the client keeps the position of a partition that stays, beyond what was read and
        not committed."""
        held = self.assignment()
        new = {at for at, epoch in held.items() if self._read_from.get(at) != epoch}
        for at in new:
            self.seek(at, max(self.committed(at) or 0, self.beginning(at)))
        self._read_from = held
        return new

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
        probe = KafkaConsumer(**self._common, **consumer_settings())
        try:
            probe.assign([at])
            probe.seek(at, position)
            deadline = time.monotonic() + _PROBE_S
            while time.monotonic() < deadline and probe.end_offsets([at])[at] > position:
                if probe.poll(timeout_ms=200, max_records=1):
                    return None
        except CorruptRecordError as error:
            if is_damaged(error):
                raise
            return f"Kafka's client cannot parse the record: {error}"
        finally:
            close(probe, autocommit=False)
        return None

    def commit(self, records: Sequence[NewRecord], offsets: Mapping[Partition, int]) -> None:
        """Writes records and offsets in one transaction."""
        at = {
            TopicPartition(p.topic, p.number): OffsetAndMetadata(offset, "", -1)
            for p, offset in offsets.items()
        }
        try:
            self._producer.begin_transaction()
            sent = send(self._producer, records, self._erasable)
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
        except _TOO_LARGE as error:
            self._abort()
            raise PermanentLogError(
                f"Kafka will never take what is to be written: {brief(error)}",
                hint="raise message.max.bytes",
            ) from error
        except AuthorizationError as error:
            self._abort()
            text = f"Kafka takes nothing, this user may not write: {brief(error)}"
            raise PermanentLogError(text, hint=RIGHTS) from error
        except KafkaError as error:
            self._abort()
            raise LogError(f"a Kafka transaction failed and was undone: {brief(error)}") from error

    def committed(self, partition: Partition) -> int | None:
        """The group's committed offset; none where it lies beyond the end, since it is that of a
        topic that was deleted and made again."""
        at = TopicPartition(partition.topic, partition.number)
        with told("asked for a committed offset"):
            offset = self._consumer.committed(at)
        if offset is None or int(offset) > self.end(partition):
            return None
        return int(offset)

    def seek(self, partition: Partition, offset: int) -> None:
        """Reads on from an offset."""
        with told("made to seek"):
            self._consumer.seek(TopicPartition(partition.topic, partition.number), offset)

    def lags(self) -> dict[Partition, int]:
        """How many offsets are still to be read; one request for all partitions."""
        at = sorted(self._consumer.assignment())
        with told("asked for its end"):
            if not at:
                return {}
            ends, firsts = self._consumer.end_offsets(at), self._consumer.beginning_offsets(at)
            next_ = {tp: int(self._consumer.position(tp)) for tp in ends}
        for tp, end in ends.items():
            if next_[tp] > end:  # nothing would ever be read again
                raise LogError(
                    f"{tp.topic}/{tp.partition} ends at offset {end}, before {next_[tp]}, which is "
                    "to be read next: it was deleted and made again, what it held unread is lost"
                )
        return {
            Partition(tp.topic, tp.partition): lag(next_[tp], int(firsts[tp]), int(end))
            for tp, end in ends.items()
        }

    def beginning(self, partition: Partition) -> int:
        """The offset of the oldest record kept."""
        at = TopicPartition(partition.topic, partition.number)
        with told("asked for its beginning"):
            return int(self._consumer.beginning_offsets([at])[at])

    def end(self, partition: Partition) -> int:
        """The offset after the newest committed record."""
        at = TopicPartition(partition.topic, partition.number)
        with told("asked for its end"):
            return int(self._consumer.end_offsets([at])[at])

    def position(self, partition: Partition) -> int:
        """The offset that is read next."""
        at = TopicPartition(partition.topic, partition.number)
        with told("asked for a position"):
            return int(self._consumer.position(at))

    def close(self) -> None:
        """Leaves the group."""
        close(self._consumer, autocommit=False)
        close(self._producer, timeout=5)

    def _abort(self) -> None:
        try:
            self._producer.abort_transaction()
        except KafkaError:
            return  # the next init_transactions of this instance ends it
