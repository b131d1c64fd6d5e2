"""One embed worker's way from one extractor to the next, for the partitions that it holds.

A promotion is seen in the releases topic. The worker loads the release beside the old one, embeds
the window of its partitions again, and writes that it is prepared. Once every partition of the
detections is, each is switched: what is left of its window, the marker for every site and the new
state go into the log in one transaction. So a release that one worker cannot use is used by nobody,
and a worker that dies leaves in the log all that its successor needs.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stgal_stream.errors import ModelError
from stgal_stream.extractor.onnx import OnnxExtractor
from stgal_stream.extractor.releases import Releases
from stgal_stream.extractor.trial import tried
from stgal_stream.log.port import Log, NewRecord, Partition, Subscription
from stgal_stream.monitoring.metrics import Metrics
from stgal_stream.monitoring.retraining_metrics import observe_retraining
from stgal_stream.settings import Config
from stgal_stream.streaming.extractor_rollout.reembed import WindowReader, reembedded, window_start
from stgal_stream.streaming.extractor_rollout.state import CONFIGURED, RolloutState
from stgal_stream.types import Vectors
from stgal_stream.wire import rollout as wire
from stgal_stream.wire.embedding import SwitchRecord, encode

logger = logging.getLogger(__name__)

Embed = Callable[[OnnxExtractor, NDArray[np.uint8]], Vectors]
_MAX_REASON = 500  # characters of a refusal: an error of onnxruntime can be pages long


class RolloutWorker:
    """Which extractor each of a worker's partitions is embedded with, and the way to the next.

    ``embed`` runs a batch of pixels through an extractor, on as many threads as there are.
    """

    def __init__(
        self,
        log: Log,
        config: Config,
        configured: OnnxExtractor,
        releases: Path,
        metrics: Metrics,
        embed: Embed,
    ) -> None:
        self._log = log
        self._config = config
        self._releases = releases
        self._metrics = metrics
        self._embed = embed
        self._state = RolloutState()
        self._loaded = {CONFIGURED: configured}
        self._loading: dict[int, Future[OnnxExtractor]] = {}
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._readers: dict[Partition, WindowReader] = {}
        self._target = CONFIGURED
        self._committed: dict[Partition, int] = {}
        self._epochs: dict[Partition, int] = {}
        self._n_partitions = 0

    def close(self) -> None:
        """Waits for what is being loaded."""
        self._loader.shutdown()

    # --- what the stage asks -----------------------------------------------------------------

    def extractor(self, partition: Partition) -> OnnxExtractor | None:
        """The extractor of a partition's detections. While not ``is_blocked`` it is there, except
        for a partition that this worker has lost."""
        return self._loaded.get(self._state.at(partition.number))

    @property
    def is_blocked(self) -> bool:
        """Whether a partition's extractor is not loaded: nothing can be embedded until it is, or
        until the partition has switched to one that is."""
        return any(self._state.at(p.number) not in self._loaded for p in self._committed)

    @property
    def is_at_rest(self) -> bool:
        """Whether all of this worker's partitions are at the target."""
        return not self._pending

    @property
    def is_ready(self) -> bool:
        """Whether all partitions of the detections are prepared: no more batches, then
        ``switch``."""
        return (
            bool(self._pending)
            and self._target == self._state.target
            and self._target in self._loaded
            and self._state.all_prepared(self._target, self._n_partitions)
            and all(self._behind(partition) <= self._batch for partition in self._pending)
        )

    # --- what the stage tells ----------------------------------------------------------------

    def note_committed(self, offsets: Mapping[Partition, int]) -> None:
        """The stage has committed these offsets."""
        self._committed.update(offsets)

    def take_partitions(self, subscription: Subscription) -> None:
        """Takes note of which partitions are this worker's."""
        held = subscription.assignment()
        for partition, epoch in self._epochs.items():
            if held.get(partition) != epoch:  # others may have worked on it since
                del self._committed[partition]
                self._readers.pop(partition, None)
        self._epochs = dict(held)
        for partition in set(held) - set(self._committed):
            committed = subscription.committed(partition)
            start = subscription.beginning(partition)
            self._committed[partition] = start if committed is None else max(committed, start)

    def poll(self) -> None:
        """Reads what was written about releases, and sees to it that those needed are loaded."""
        state = self._state
        state.read(self._log, self._config.topics.releases)
        self._n_partitions = self._log.partitions(self._config.topics.detections)
        if state.target != self._target:
            self._target = state.target
            self._readers.clear()
            logger.info("the extractor to use is %s", self._name(self._target))
        needed = {self._target, *(state.at(p.number) for p in self._committed)}
        for number in sorted(needed - set(self._loaded)):
            if state.release(number) is None:
                self._loaded[number] = self._loaded[CONFIGURED]
            else:
                self._load(number)
        for number in set(self._loaded) - needed - {CONFIGURED}:
            del self._loaded[number]
        for number in [n for n, loading in self._loading.items() if loading.done()]:
            if number not in needed:
                del self._loading[number]
        self._observe()

    # --- loading -----------------------------------------------------------------------------

    def _load(self, number: int) -> None:
        """Loads a release in the background; one that cannot be used is refused, for all."""
        loading = self._loading.get(number)
        if loading is None:
            promotion = self._state.promotions[number]
            self._loading[number] = self._loader.submit(self._open, promotion)
            return
        if not loading.done():
            return
        try:
            self._loaded[number] = loading.result()
            del self._loading[number]
        except Exception as error:  # a file can make its reader raise nearly anything
            if number == self._target:
                logger.error("release %s is refused: %s", self._name(number), error)
                refusal = wire.Refused(number, socket.gethostname(), str(error)[:_MAX_REASON])
                self._log.append([self._record(refusal)])
                del self._loading[number]

    def _open(self, promotion: wire.Promotion) -> OnnxExtractor:
        """The release's model, where it is and what was promoted.

        Raises:
            ModelError, DataError, OSError: it is not, or cannot be used.
        """
        releases = Releases(self._releases).holding(promotion)
        if not releases.has(promotion.version):
            raise ModelError(
                f"release {promotion.version} is not in {self._releases} or {promotion.folder}",
                hint="set embed.releases to the folder that retrain wrote it to",
            )
        path = releases.promoted(promotion)
        embed = self._config.embed
        tried(path, embed.loading, **embed.limits)
        extractor = OnnxExtractor(path, **embed.loading)
        if extractor.version != promotion.extractor:
            raise ModelError(f"{path} calls itself {extractor.version}, not {promotion.extractor}")
        return extractor

    # --- switching ---------------------------------------------------------------------------

    def step(self, subscription: Subscription) -> bool:
        """A bit of the way to the target; whether there was anything to do. ``newest_s`` is each
        site's event time."""
        if self._target not in self._loaded:
            return False
        for partition in self._pending:
            reader = self._reader(subscription, partition)
            behind = self._committed[partition] - reader.next_offset
            prepared = self._state.prepared(self._target, partition.number) is not None
            if behind > (self._batch if prepared else 0):
                subscription.commit(self._reembed(partition, reader), {})
                return True
            if not prepared:
                record = wire.Prepared(self._target, partition.number, reader.next_offset)
                subscription.commit([self._record(record)], {})
                self._state.read(self._log, self._config.topics.releases)
                return True
        return False

    def switch(self, subscription: Subscription) -> None:
        """Switches all of this worker's partitions; no batch may be in the network."""
        records: list[NewRecord] = []
        pending = self._pending
        for partition in pending:
            reader = self._reader(subscription, partition)
            while reader.next_offset < self._committed[partition]:
                records += self._reembed(partition, reader)
        records += self._markers(pending)
        for partition in pending:
            records.append(self._record(wire.Switched(self._target, partition.number)))
        # The offsets change nothing: with them, a worker that lost a partition cannot commit.
        subscription.commit(records, {p: self._committed[p] for p in pending})
        for partition in pending:
            self._readers.pop(partition, None)
        after = self._loaded[self._target].version
        numbers = [p.number for p in pending]
        logger.info("partitions %s are embedded by %s from here on", numbers, after)
        self.poll()

    def _markers(self, pending: list[Partition]) -> list[NewRecord]:
        """The switch, told to every partition of the embeddings, by version left behind."""
        after = self._loaded[self._target].version
        topic = self._config.topics.embeddings
        left: dict[str, list[int]] = {}
        for partition in pending:
            before = self._version(self._state.at(partition.number))
            left.setdefault(before, []).append(partition.number)
        found = []
        for before, numbers in sorted(left.items()):
            body = encode(SwitchRecord(before, after, tuple(numbers), self._n_partitions))
            for number in range(self._log.partitions(topic)):
                found.append(NewRecord(topic, None, body, partition=number))
        return found

    @property
    def _pending(self) -> list[Partition]:
        return [p for p in sorted(self._committed) if self._state.at(p.number) != self._target]

    @property
    def _batch(self) -> int:
        return self._config.embed.batch_size

    def _behind(self, partition: Partition) -> int:
        """How much of a prepared partition has come since and is not embedded again."""
        reader = self._readers.get(partition)
        prepared = self._state.prepared(self._target, partition.number)
        at = reader.next_offset if reader is not None else prepared
        return self._committed[partition] - (at or 0)

    def _reader(self, subscription: Subscription, partition: Partition) -> WindowReader:
        reader = self._readers.get(partition)
        if reader is not None:
            return reader
        extractor = self._loaded[self._target]
        start = self._state.prepared(self._target, partition.number)
        if self._version(self._state.at(partition.number)) == extractor.version:
            start = self._committed[partition]
        if start is None:
            associate = self._config.associate
            window_s = (
                associate.window_s
                + associate.allowed_lateness_s
                + associate.tracklet_max_s
                + associate.step_s
            )
            reach = subscription.beginning(partition), self._committed[partition]
            start = window_start(self._log, partition, reach, window_s, self._config.input)
        reader = WindowReader(self._log, partition, start, extractor.form, self._config)
        self._readers[partition] = reader
        return reader

    def _reembed(self, partition: Partition, reader: WindowReader) -> list[NewRecord]:
        """The next part of a partition's window, embedded by the target: twice what a batch of the
        stream adds to it, so that the window gains on a stream at full speed."""
        crops = reader.take(2 * self._batch, self._committed[partition])
        if not crops:
            return []
        extractor = self._loaded[self._target]
        vectors = self._embed(extractor, np.stack([crop.pixels for crop in crops]))
        self._metrics.reembedded.inc(len(crops))
        topic = self._config.topics.embeddings
        return [
            NewRecord(topic, record.site.encode(), encode(record))
            for crop, vector in zip(crops, vectors, strict=True)
            if (record := reembedded(crop, extractor.version, vector)) is not None
        ]

    # --- words -------------------------------------------------------------------------------

    def _record(self, record: wire.RolloutRecord) -> NewRecord:
        return NewRecord(self._config.topics.releases, b"rollout", wire.encode(record))

    def _version(self, number: int) -> str:
        """The version that a rollout's embeddings carry."""
        promotion = self._state.release(number)
        return self._loaded[CONFIGURED].version if promotion is None else promotion.extractor

    def _name(self, number: int) -> str:
        promotion = self._state.release(number)
        return "the configured one" if promotion is None else promotion.version

    def _observe(self) -> None:
        """Metrics: what is in use here, what was refused, what the last retraining brought."""
        state, metrics = self._state, self._metrics
        used = {n for p in self._committed if (n := state.at(p.number)) in self._loaded}
        metrics.use_extractors({(self._loaded[n].version, self._loaded[n].provider) for n in used})
        newest = max(state.promotions, default=CONFIGURED)
        metrics.release_refused.set(newest in state.refused)
        if state.target != CONFIGURED:
            metrics.promoted_time.set(state.promotions[state.target].at_s)
        if state.retrained is not None:
            observe_retraining(metrics, state.retrained)
