"""The embed stage: detections in, embeddings and dead letters out. Stateless: which extractor a
partition is embedded with stands in the log too (``extractor_rollout``).

While batches are in the network, the next is read and decoded. A batch's outputs and its offsets
commit in one transaction, in the order in which batches were read.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from enum import Enum, auto
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stgal_stream.extractor.onnx import OnnxExtractor
from stgal_stream.log.port import Log, Partition, Subscription
from stgal_stream.log.reading import records
from stgal_stream.monitoring.metrics import Metrics
from stgal_stream.settings import Config
from stgal_stream.streaming.embed_batch import Item, embed, outputs_of
from stgal_stream.streaming.event_time_merge import EventTimeMerge
from stgal_stream.streaming.extractor_rollout.worker import Embed, RolloutWorker
from stgal_stream.streaming.idle_time import SiteClocks, closing_ticks, last_embedded, tick_record
from stgal_stream.streaming.lost_records import tell_lost
from stgal_stream.streaming.pace import Pace
from stgal_stream.types import Vector, Vectors
from stgal_stream.wire.embedding import EmbeddingRecord
from stgal_stream.wire.raw_detection import DetectionMessage

logger = logging.getLogger(__name__)

_IDLE_POLL_S = 0.2
_BUSY_POLL_S = 0.01
_CHECK_S = 1.0  # lag, releases and silent sites are looked at so often
_PAUSE_S = 0.1  # while a release loads there is nothing to do
_TAIL = 20  # records before the committed offset that set a site's clock after a restart


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
        self.log = log
        self.config = config
        self.extractor = extractor
        self.metrics = metrics
        self.releases = releases
        self.partitions: frozenset[Partition] = frozenset()
        self.progress = 0
        self.caught_up = False

    def run(self, stop: threading.Event, end: threading.Event | None = None) -> None:
        """The stage's loop.

        Raises:
            LogError: the log failed; what was not committed will be read again.
        """
        group = f"{self.config.kafka.group_prefix}-embed"
        topics, keep = [self.config.topics.detections], self.config.embed.keep_crops
        subscription = self.log.subscribe(group, topics, keep=keep)
        loop = _Loop(self, group, subscription, stop, end)
        try:
            loop.take_partitions()
            while loop.step():
                pass
            if end is not None and not stop.is_set():
                loop.close_sites()
        finally:
            loop.close()
            subscription.close()


class _State(Enum):
    """What the loop does with the stream."""

    READING = auto()  # reads batches and hands them to the network
    DRAINING = auto()  # a release is ready: commits what is in the network, then switches
    BLOCKED = auto()  # an extractor is not loaded: hears of partitions, and waits
    STOPPING = auto()  # asked to stop: commits what is in the network, then ends


class _Loop:
    """One run of the stage on one subscription."""

    def __init__(
        self,
        stage: EmbedStage,
        group: str,
        subscription: Subscription,
        stop: threading.Event,
        end: threading.Event | None,
    ) -> None:
        config = stage.config
        self._stage = stage
        self._config = config
        self._subscription = subscription
        self._stop, self._end = stop, end
        self._limits, self._topics = config.embed, config.topics
        self._n_parallel = stage.extractor.n_parallel
        self._network = ThreadPoolExecutor(self._n_parallel, thread_name_prefix="network")
        self._decoders = ThreadPoolExecutor(
            config.embed.decode_threads, thread_name_prefix="decode"
        )
        read = partial(Item.read, inputs=config.input)
        self._source: EventTimeMerge[Item] = EventTimeMerge(subscription, read)
        self._pace = Pace(
            stage.log,
            group,
            config.topics.detections,
            subscription,
            ahead_s=config.associate.allowed_lateness_s / 2,  # the cameras' own delays need some
        )
        self._rollout = RolloutWorker(
            stage.log,
            config,
            stage.extractor,
            stage.releases,
            stage.metrics,
            _side_by_side(self._network, self._n_parallel),
        )
        after_s = config.embed.tick_after_s
        forget_s = config.associate.window_s + 10 * after_s
        self._clocks = SiteClocks(after_s, forget_s, config.associate.max_cameras)
        self._held: dict[Partition, int] = {}
        self._formats: set[tuple[str, str]] = set()
        self._gathered: list[Item] = []
        self._in_network: deque[tuple[list[Item], Future[list[list[Vector | None]]]]] = deque()
        self._next_check_s = 0.0

    def close(self) -> None:
        """Waits for what is in work."""
        self._rollout.close()
        self._network.shutdown()
        self._decoders.shutdown()

    @property
    def _state(self) -> _State:
        if self._stop.is_set():
            return _State.STOPPING
        if self._rollout.is_blocked:
            return _State.BLOCKED
        return _State.DRAINING if self._rollout.is_ready else _State.READING

    def step(self) -> bool:
        """Reads a batch, commits what is computed, goes a bit of the way to another extractor;
        whether to go on."""
        state = self._state
        if state is _State.READING and not self._gathered:
            self._gathered = self._gather()
        elif state is _State.BLOCKED:
            # It may wait for partitions of a worker that is gone, and must hear of that.
            self._source.check_assignment()
            self.take_partitions()
        submitted = self._submit()
        idle = not self._in_network
        self._commit_computed(wait=not submitted)
        idle = not self._switch() and idle
        if idle or time.monotonic() >= self._next_check_s:
            self._next_check_s = time.monotonic() + _CHECK_S
            return self._check(idle)
        return True

    def _check(self, idle: bool) -> bool:
        """Looks at releases, lag and silent sites; whether to go on."""
        rollout = self._rollout
        rollout.poll()
        at_end = self._note_lag() and not self._source.n_buffered and not self._gathered
        at_rest = rollout.is_at_rest and not rollout.is_blocked
        may_end = self._end is not None and self._end.is_set() and at_end and at_rest
        # The stream's time is closed for all partitions at once.
        if idle and (self._stop.is_set() or (may_end and self._pace.others_are_done())):
            return False
        if at_end:
            self._tick_silent_sites()
        if idle and not at_rest:
            self._stop.wait(_PAUSE_S)
        return True

    def _switch(self) -> bool:
        """A bit of the way to another extractor, if there is one to go; whether there was."""
        rollout = self._rollout
        if self._stop.is_set():
            return False
        if not rollout.is_ready:
            return not rollout.is_at_rest and rollout.step(self._subscription)
        if not self._in_network:
            rollout.poll()  # it may have been taken back meanwhile
            if rollout.is_ready:
                rollout.switch(self._subscription)
        return True

    # --- one batch ---------------------------------------------------------------------------

    def _gather(self) -> list[Item]:
        """Up to a batch of records, waiting for more no longer than configured."""
        limits = self._limits
        is_busy = bool(self._in_network) or not self._rollout.is_at_rest
        wait_s = min(limits.max_wait_s, _BUSY_POLL_S) if is_busy else _IDLE_POLL_S
        deadline = time.monotonic() + limits.max_wait_s
        items: list[Item] = []
        while True:
            until_s = self._pace.until_s(self._source.first_append_s)
            taken = self._source.take(limits.batch_size - len(items), wait_s, until_s)
            self.take_partitions()
            if not taken and self._source.n_buffered:
                self._stop.wait(_BUSY_POLL_S)  # others are not so far
            for item in taken:
                item.epoch = self._source.epoch(item.record.partition)
            items += taken
            wait_s = deadline - time.monotonic()
            if not items or len(items) == limits.batch_size or wait_s <= 0:
                return items

    def _submit(self) -> bool:
        """Decodes what was gathered and hands it to the network; whether there was anything."""
        if self._rollout.is_blocked:
            return False
        batch, self._gathered = self._gathered, []
        # Vectors need no decoding, and to hand a record to a thread costs more than to read it.
        for _ in self._decoders.map(self._prepare, [i for i in batch if i.has_pictures]):
            pass
        if batch:
            self._in_network.append((batch, self._network.submit(embed, batch)))
            n = sum(item.n_crops for item in batch)
            if n:
                self._stage.metrics.batch_size.observe(n)
        return bool(batch)

    def _prepare(self, item: Item) -> None:
        item.prepare(self._rollout.extractor(item.record.partition), self._limits)

    def _commit_computed(self, *, wait: bool) -> None:
        """Commits the batches that are computed, in order; all of them where it may ``wait``."""
        while self._in_network:
            is_crowded = len(self._in_network) > self._n_parallel
            if not (wait or is_crowded or self._in_network[0][1].done()):
                return
            batch, vectors = self._in_network.popleft()
            self._commit(batch, vectors.result())

    def _commit(self, batch: list[Item], vectors: list[list[Vector | None]]) -> None:
        out = outputs_of(batch, vectors, self._subscription.assignment(), self._topics)
        if out.offsets:
            self._subscription.commit(out.records, out.offsets)
            self._rollout.note_committed(out.offsets)
        stage, metrics, now = self._stage, self._stage.metrics, time.time()
        stage.progress += len(out.done)
        metrics.detections.inc(len(out.done))
        for source, n in Counter(out.sources).items():
            metrics.embeddings.labels(source).inc(n)
        for reason in out.refused:
            metrics.dead_letters.labels(str(reason)).inc()
        latency = metrics.latency.labels(stage.name)
        metrics.other_objects.inc(sum(item.n_others for item in out.done))
        for item in out.done:
            latency.observe(max(0.0, now - item.record.append_time_s))
            self._tell_format(item)
            for message in item.heard:
                self._hear(message)

    def _tell_format(self, item: Item) -> None:
        """Says once of each topic in which formats its records are."""
        topic, name = item.record.partition.topic, item.format
        if name is not None and (topic, name) not in self._formats:
            self._formats.add((topic, name))
            logger.info("%s: records of format %s", topic, name)

    # --- partitions and time -----------------------------------------------------------------

    def take_partitions(self) -> None:
        """Sets the sites' clocks where partitions came or went: a site is ticked by those who hear
        its cameras, also when they were all silent since this worker started."""
        held = dict(self._subscription.assignment())
        if held == self._held:
            return
        for at in sorted(set(held) - set(self._held)):
            tell_lost(self._subscription, at)
        self._held = held
        self._stage.partitions = frozenset(held)
        self._pace.look_again()
        self._rollout.take_partitions(self._subscription)
        self._rollout.poll()
        self._clocks.clear()
        for at in sorted(held):
            for message in self._last_heard(at):
                self._hear(message)

    def _last_heard(self, at: Partition) -> Iterator[DetectionMessage | EmbeddingRecord]:
        """The newest of what was read of a partition, as it lies in the log or came out of it."""
        if not self._config.embed.keep_crops:
            yield from last_embedded(self._stage.log, self._topics.embeddings, _TAIL)
            return
        committed = self._subscription.committed(at) or 0
        start = max(0, committed - _TAIL)
        for record in records(self._stage.log, at.topic, at.number, start, committed):
            yield from Item.read(record, self._config.input)[1].heard

    def _hear(self, message: DetectionMessage | EmbeddingRecord) -> None:
        self._clocks.hear(message.site, message.camera, message.time_s)

    def _tick_silent_sites(self) -> None:
        """Lets event time go on at sites that are silent, as long as anything can wait for it."""
        items = [item for batch, _ in self._in_network for item in batch]
        busy = {message.site for item in items for message in item.heard}
        topic = self._topics.embeddings
        ticks = [tick_record(topic, site, time_s) for site, time_s in self._clocks.due(busy)]
        if ticks:
            self._subscription.commit(ticks, {})

    def close_sites(self) -> None:
        """The stream is over: lets everything out that waits for time."""
        ticks = closing_ticks(self._stage.log, self._topics.embeddings)
        if ticks:
            self._subscription.commit(ticks, {})

    def _note_lag(self) -> bool:
        """Whether everything is read; the lag goes to the metrics."""
        stage, lags = self._stage, self._subscription.lags()
        stage.metrics.note_lags(stage.name, {at.number: lag for at, lag in lags.items()})
        stage.caught_up = bool(lags) and all(lag <= 0 for lag in lags.values())
        return stage.caught_up


def _side_by_side(network: ThreadPoolExecutor, n_parallel: int) -> Embed:
    """A batch in as many parts as run side by side."""

    def run(extractor: OnnxExtractor, pixels: NDArray[np.uint8]) -> Vectors:
        parts = [part for part in np.array_split(pixels, n_parallel) if len(part)]
        return np.concatenate(list(network.map(extractor.embed, parts)))

    return run
