"""The embed stage: detections in, embeddings and dead letters out. Stateless: which extractor a
partition is embedded with stands in the log too (``switching``).

While batches are in the network, the next is read and decoded; a batch's outputs and its offsets
commit in one transaction, in the order in which batches were read.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from stgal_stream.config import Config
from stgal_stream.extractor.crops import BadCrop, decode_crop
from stgal_stream.extractor.onnx import OnnxExtractor
from stgal_stream.log.port import Log, NewRecord, Partition, Record, Subscription
from stgal_stream.monitoring.metrics import Metrics
from stgal_stream.stages.event_order import EventOrder
from stgal_stream.stages.site_clocks import SiteClocks
from stgal_stream.stages.switching import Embed, Switching
from stgal_stream.types import Position, Reason
from stgal_stream.wire import dead_letter
from stgal_stream.wire.detection import BadRecord, DetectionMessage, check_vector, decode
from stgal_stream.wire.embedding import EmbeddingRecord, EmbeddingsRecord, TickRecord, encode
from stgal_stream.wire.embedding import decode as decode_embedding

logger = logging.getLogger(__name__)

_IDLE_POLL_S = 0.2
_BUSY_POLL_S = 0.01
_READ_CHUNK = 500
_LOOK_S = 1.0
_PAUSE_S = 0.1
_TAIL = 20


@dataclass(slots=True)
class _Prepared:
    """A record that is read: a message with pixels or a vector, or what is wrong with it. Of the
    record itself only the place, key and time are kept."""

    record: Record
    message: DetectionMessage | None = None
    pixels: NDArray[np.uint8] | None = None
    fault: BadRecord | None = None
    epoch: int = 0
    extractor: OnnxExtractor | None = None


class EmbedStage:
    """Runs until stopped or, once ``end`` is set, until the log's end."""

    name = "embed"

    def __init__(
        self,
        log: Log,
        config: Config,
        extractor: OnnxExtractor,
        metrics: Metrics,
        releases: Path = Path("releases"),
    ) -> None:
        self._log = log
        self._config = config
        self._configured = extractor
        self._releases = releases
        self._metrics = metrics
        after_s = config.embed.tick_after_s
        self._clocks = SiteClocks(after_s, config.associate.window_s + 10 * after_s)
        self._held: dict[Partition, int] = {}
        self.progress = 0
        self.caught_up = False

    def run(self, stop: threading.Event, end: threading.Event | None = None) -> None:
        """The stage's loop.

        Raises:
            LogError: the log failed; what was not committed will be read again.
        """
        group = f"{self._config.kafka.group_prefix}-embed"
        subscription = self._log.subscribe(group, [self._config.topics.detections])
        source = EventOrder(subscription, self._read)
        n_parallel = self._configured.n_parallel
        network = ThreadPoolExecutor(n_parallel, thread_name_prefix="network")
        decoders = ThreadPoolExecutor(
            self._config.embed.decode_threads, thread_name_prefix="decode"
        )
        flying: deque[tuple[list[_Prepared], Future[list[NDArray[np.float32] | None]]]] = deque()
        self._held = {}
        self._switching = switching = Switching(
            self._log,
            self._config,
            self._configured,
            self._releases,
            self._metrics,
            _spread(network, n_parallel),
        )
        waiting: list[_Prepared] = []
        look_s = 0.0
        try:
            self._take_partitions(subscription)
            while True:
                ending = end is not None and end.is_set()
                if not (stop.is_set() or waiting or switching.is_ready or switching.is_blocked):
                    busy = bool(flying) or not switching.is_at_rest
                    waiting = self._gather(subscription, source, busy)
                elif switching.is_blocked:
                    # It may wait for partitions of a worker that is gone, and must hear of that.
                    source.look()
                    self._take_partitions(subscription)
                batch: list[_Prepared] = []
                if not switching.is_blocked:
                    batch, waiting = list(decoders.map(self._prepare, waiting)), []
                if batch:
                    flying.append((batch, network.submit(self._embed, batch)))
                idle = not flying
                while flying and (not batch or len(flying) > n_parallel or flying[0][1].done()):
                    done, vectors = flying.popleft()
                    self._commit(subscription, done, vectors.result())
                moved = not stop.is_set() and self._switch(subscription, not flying)
                idle = idle and not moved
                if idle or time.monotonic() >= look_s:
                    look_s = time.monotonic() + _LOOK_S
                    switching.look()
                    at_end = self._note_lag(subscription) and not source.n_buffered and not waiting
                    at_rest = switching.is_at_rest and not switching.is_blocked
                    if idle and (stop.is_set() or (ending and at_end and at_rest)):
                        break
                    if at_end:
                        self._tick(subscription, [item for part, _ in flying for item in part])
                    if not at_rest and idle:
                        stop.wait(_PAUSE_S)
            if end is not None and not stop.is_set():
                self._close_sites(subscription)
        finally:
            switching.close()
            network.shutdown()
            decoders.shutdown()
            subscription.close()

    def _switch(self, subscription: Subscription, drained: bool) -> bool:
        """A bit of the way to another extractor, if there is one to go; whether there was."""
        switching = self._switching
        newest_s = self._clocks.newest_s
        if switching.is_ready:
            if drained:
                switching.look()  # it may have been taken back meanwhile
            if drained and switching.is_ready:
                switching.switch(subscription, newest_s)
            return True
        return not switching.is_at_rest and switching.step(subscription, newest_s)

    # --- one batch ---------------------------------------------------------------------------

    def _gather(
        self, subscription: Subscription, source: EventOrder[_Prepared], busy: bool
    ) -> list[_Prepared]:
        """Up to a batch of records, waiting for company no longer than configured."""
        embed = self._config.embed
        wait_s = min(embed.max_wait_s, _BUSY_POLL_S) if busy else _IDLE_POLL_S
        deadline = time.monotonic() + embed.max_wait_s
        items: list[_Prepared] = []
        while True:
            taken = source.take(embed.batch_size - len(items), wait_s)
            self._take_partitions(subscription)
            for item in taken:
                item.epoch = source.epoch(item.record.partition)
            items += taken
            wait_s = deadline - time.monotonic()
            if not items or len(items) == embed.batch_size or wait_s <= 0:
                return items

    def _take_partitions(self, subscription: Subscription) -> None:
        """Sets the sites' clocks anew where partitions came or went: a site is ticked by those who
        hear its cameras, also when they were all silent since this worker started."""
        held = dict(subscription.assignment())
        if held == self._held:
            return
        self._held = held
        self._switching.hold(subscription)
        self._switching.look()
        self._clocks.clear()
        for partition in sorted(held):
            committed = subscription.committed(partition) or 0
            for record in self._log.read(
                partition.topic, partition.number, max(0, committed - _TAIL), _TAIL
            ):
                message = self._read(record)[1].message
                if message is not None and record.offset < committed:
                    self._clocks.hear(message.site, message.time_s)

    def _read(self, record: Record) -> tuple[float, _Prepared]:
        """The record's message and event time; a crop in it is not decoded yet."""
        embed = self._config.embed
        kept = replace(record, value=b"", headers=())
        try:
            message = decode(record, embed.max_record_bytes, embed.max_future_s)
        except BadRecord as fault:
            return float("-inf"), _Prepared(kept, fault=fault)
        return message.time_s, _Prepared(kept, message)

    def _prepare(self, item: _Prepared) -> _Prepared:
        """Decodes the crop, if there is one."""
        if item.message is None or item.message.crop is None:
            return item
        embed = self._config.embed
        item.extractor = self._switching.extractor(item.record.partition)
        if item.extractor is None:
            return item  # of a partition that was lost: whoever has it now reads it again
        try:
            item.pixels = decode_crop(
                item.message.crop,
                item.extractor.form,
                max_bytes=embed.max_crop_bytes,
                max_pixels=embed.max_crop_pixels,
            )
        except BadCrop as error:
            reason = Reason.IMAGE_TOO_LARGE if error.too_large else Reason.BAD_IMAGE
            item.fault = BadRecord(reason, str(error))
        return item

    def _embed(self, batch: Sequence[_Prepared]) -> list[NDArray[np.float32] | None]:
        """A vector for every record of the batch that can have one."""
        vectors = [None if item.message is None else item.message.vector for item in batch]
        by_extractor: dict[int, tuple[OnnxExtractor, list[int]]] = {}
        for i, item in enumerate(batch):
            if item.pixels is not None and item.extractor is not None:
                by_extractor.setdefault(id(item.extractor), (item.extractor, []))[1].append(i)
        for extractor, rows in by_extractor.values():
            crops = np.stack([pixels for i in rows if (pixels := batch[i].pixels) is not None])
            self._metrics.batch_size.observe(len(rows))
            for i, vector in zip(rows, extractor.embed(crops), strict=True):
                vectors[i] = vector
        return vectors

    def _commit(
        self,
        subscription: Subscription,
        batch: list[_Prepared],
        vectors: list[NDArray[np.float32] | None],
    ) -> None:
        out: list[NewRecord] = []
        offsets: dict[Partition, int] = {}
        reasons: list[Reason] = []
        sources: list[str] = []
        done: list[_Prepared] = []
        held = subscription.assignment()
        for item, vector in zip(batch, vectors, strict=True):
            if held.get(item.record.partition) != item.epoch:
                continue  # the group gave it to another member, or again to this one: read again
            done.append(item)
            offsets[item.record.partition] = item.record.offset + 1
            try:
                if item.fault is not None:
                    raise item.fault
                assert item.message is not None
                assert vector is not None
                out.append(self._embedding(item, check_vector(vector)))
                sources.append("network" if item.message.crop is not None else "upstream")
            except BadRecord as fault:
                reasons.append(fault.reason)
                out.append(self._dead_letter(item, fault))
        if offsets:
            subscription.commit(out, offsets)
            self._switching.committed(offsets)
        now = time.time()
        self._metrics.detections.inc(len(done))
        self.progress += len(done)
        for source in sources:
            self._metrics.embeddings.labels(source).inc()
        for reason in reasons:
            self._metrics.dead_letters.labels(str(reason)).inc()
        for item in done:
            self._metrics.latency.labels(self.name).observe(
                max(0.0, now - item.record.append_time_s)
            )
            if item.message is not None and item.fault is None:
                self._clocks.hear(item.message.site, item.message.time_s)

    def _embedding(self, item: _Prepared, vector: NDArray[np.float32]) -> NewRecord:
        message, record = item.message, item.record
        assert message is not None
        extractor = message.model
        if extractor is None:
            assert item.extractor is not None
            extractor = item.extractor.version
        box = message.box
        body = EmbeddingRecord(
            site=message.site,
            id=message.id,
            camera=message.camera,
            time_s=message.time_s,
            extractor=extractor,
            vector=vector.astype("<f4").tobytes(),
            track_id=message.track_id,
            box=None if box is None else (box.left_px, box.top_px, box.right_px, box.bottom_px),
            confidence=message.confidence,
            position=(record.partition.topic, record.partition.number, record.offset),
            append_time_s=record.append_time_s,
        )
        return NewRecord(self._config.topics.embeddings, message.site.encode(), encode(body))

    def _dead_letter(self, item: _Prepared, fault: BadRecord) -> NewRecord:
        record, message = item.record, item.message
        at = Position(record.partition.topic, record.partition.number, record.offset)
        body = dead_letter.encode(
            fault.reason,
            fault.detail,
            at,
            detection_id=message.id if message else None,
            camera=message.camera if message else None,
            site=message.site if message else None,
        )
        return NewRecord(self._config.topics.dead_letters, record.key, body)

    # --- time --------------------------------------------------------------------------------

    def _tick(self, subscription: Subscription, flying: Sequence[_Prepared]) -> None:
        """Lets event time go on at sites that are silent, as long as anything can wait for it."""
        heard = {item.message.site for item in flying if item.message is not None}
        ticks = [self._tick_record(site, time_s) for site, time_s in self._clocks.due(heard)]
        if ticks:
            subscription.commit(ticks, {})

    def _close_sites(self, subscription: Subscription) -> None:
        """The stream is over: lets everything that waits for time come out.

        How far each site is stands in the log itself, so this is the same after a restart.
        """
        associate = self._config.associate
        beyond = associate.allowed_lateness_s + associate.tracklet_max_s + 2 * associate.step_s
        seen: dict[str, float] = {}
        told: dict[str, float] = {}
        for record in _embeddings(self._log, self._config.topics.embeddings):
            if not isinstance(record, EmbeddingRecord | TickRecord):
                continue
            times = told if isinstance(record, TickRecord) else seen
            times[record.site] = max(times.get(record.site, 0.0), record.time_s)
        ends = {site: time_s + beyond for site, time_s in sorted(seen.items())}
        ticks = [
            self._tick_record(site, end_s)
            for site, end_s in ends.items()
            if told.get(site, 0.0) < end_s
        ]
        if ticks:
            subscription.commit(ticks, {})

    def _tick_record(self, site: str, time_s: float) -> NewRecord:
        body = encode(TickRecord(site, time_s))
        return NewRecord(self._config.topics.embeddings, site.encode(), body)

    def _note_lag(self, subscription: Subscription) -> bool:
        """Whether everything is read; the lag goes to the metrics."""
        lags = subscription.lags()
        self._metrics.note_lags(self.name, {at.number: lag for at, lag in lags.items()})
        self.caught_up = bool(lags) and all(lag <= 0 for lag in lags.values())
        return self.caught_up


def _spread(network: ThreadPoolExecutor, n_parallel: int) -> Embed:
    """A batch in as many parts as run side by side."""

    def embed(extractor: OnnxExtractor, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        parts = [part for part in np.array_split(pixels, n_parallel) if len(part)]
        return np.concatenate(list(network.map(extractor.embed, parts)))

    return embed


def _embeddings(log: Log, topic: str) -> Iterator[EmbeddingsRecord]:
    """All records of the embeddings topic."""
    for partition in range(log.partitions(topic)):
        offset = 0
        while records := log.read(topic, partition, offset, _READ_CHUNK):
            for record in records:
                with suppress(msgspec.MsgspecError):  # the associate stage refuses it, aloud
                    yield decode_embedding(record.value)
            offset = records[-1].offset + 1
