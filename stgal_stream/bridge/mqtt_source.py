"""MQTT -> the detections topic: a message is acknowledged when the log has it."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import paho.mqtt.client as paho

from stgal_stream.bridge.mqtt import Address, Certificates, Connection
from stgal_stream.errors import LogError, PermanentLogError
from stgal_stream.log.backoff import backoff_s
from stgal_stream.log.port import Log, NewRecord
from stgal_stream.wire.detection import TOPIC_HEADER

logger = logging.getLogger(__name__)

_BATCH = 500
_QUEUED = 2_000  # beyond it the network's thread waits, and so does the broker
_POLL_S = 0.2
Record = Callable[[str, bytes], NewRecord | None]  # of topic and payload; None: nothing new


@dataclass(slots=True)
class Counts:
    """What came over the bridge, and what was left out: retained messages, nothing new."""

    taken: int = 0
    left_out: int = 0


def plain_record(topic: str) -> Record:
    """Messages as they are, by the MQTT topic that they came from: the key, so that a camera's
    messages stay in order, and a header, which names the camera where the message does not."""

    def made(source: str, payload: bytes) -> NewRecord:
        name = source.encode()
        return NewRecord(topic, name, payload, ((TOPIC_HEADER, name),))

    return made


class MqttSource:
    """Runs until stopped."""

    def __init__(
        self,
        log: Log,
        address: Address,
        topics: Sequence[str],
        client_id: str,
        certificates: Certificates,
        record: Record,
    ) -> None:
        self.counts = Counts()
        self._log = log
        self._record = record
        self._waiting: queue.Queue[paho.MQTTMessage] = queue.Queue(_QUEUED)
        self._connection = Connection(address, client_id, certificates, topics, self._waiting.put)

    @property
    def is_connected(self) -> bool:
        """Whether messages come in."""
        return self._connection.is_up

    def run(self, stop: threading.Event, on_progress: Callable[[Counts], None]) -> None:
        """Carries messages over.

        Raises:
            LogError: the broker cannot be reached at the start.
            ConfigError: it refuses us.
        """
        self._connection.open()
        try:
            while not stop.is_set():
                self._connection.check()
                batch = self._gather()
                if batch:
                    self._carry(batch, stop)
                    on_progress(self.counts)
        finally:
            self._connection.close()

    def _gather(self) -> list[paho.MQTTMessage]:
        try:
            batch = [self._waiting.get(timeout=_POLL_S)]
        except queue.Empty:
            return []
        while len(batch) < _BATCH:
            try:
                batch.append(self._waiting.get_nowait())
            except queue.Empty:
                break
        return batch

    def _carry(self, batch: list[paho.MQTTMessage], stop: threading.Event) -> None:
        """Writes a batch, however long the log is away; then acknowledges it."""
        # What the broker has kept for newcomers is of no use now: it may be of yesterday.
        fresh = [message for message in batch if not message.retain]
        made = [self._record(message.topic, bytes(message.payload)) for message in fresh]
        records = [record for record in made if record is not None]
        attempt = 0
        while records:
            try:
                self._log.append(records)
                break
            except PermanentLogError:
                raise  # not acknowledged: the broker keeps them
            except LogError as error:
                wait_s = backoff_s(attempt)
                logger.error("%s; trying again in %.1f s", error, wait_s)
                attempt += 1
                if stop.wait(wait_s):
                    return  # not acknowledged: the broker sends them again
        for message in batch:
            self._connection.client.ack(message.mid, message.qos)
        self.counts.taken += len(records)
        self.counts.left_out += len(batch) - len(records)
