"""From detections to tracklets: the camera's own tracks, and box tracks where it gives none."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from stgal_stream.core.tracklets.box_tracker import BoxTracker, BoxTrackerState
from stgal_stream.core.tracklets.open_tracklet import OpenTracklet
from stgal_stream.settings import TrackerSettings
from stgal_stream.types import Detection, Vector

TrackKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class BuilderState:
    """All that a ``TrackletBuilder`` knows."""

    pending: list[Detection]
    open: list[OpenTracklet]
    boxes: BoxTrackerState


@dataclass(slots=True)
class TrackletBuilder:
    """Detections that wait for the watermark, and the tracklets that they have opened."""

    settings: TrackerSettings
    boxes: BoxTracker
    _pending: list[tuple[float, str, str, Detection]] = field(default_factory=list)
    _open: dict[TrackKey, OpenTracklet] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._pending) + len(self._open) + len(self.boxes)

    def observe(self, detection: Detection) -> None:
        """Takes a detection that is not late."""
        key = (detection.time_s, detection.camera, detection.id, detection)
        heapq.heappush(self._pending, key)

    def next_s(self) -> float:
        """The earliest event time at which something can happen; infinite if nothing waits."""
        first = self._pending[0][0] if self._pending else float("inf")
        tracks_s = (self._closes_s(t) for t in self._open.values())
        return min([first, self.boxes.next_s(), *tracks_s])

    def close(self, before_s: float) -> list[OpenTracklet]:
        """The tracklets that are complete at an event time, by end, camera and first id."""
        done: list[OpenTracklet] = []
        while self._pending and self._pending[0][0] < before_s:
            detection = heapq.heappop(self._pending)[3]
            if detection.track_id is not None:
                complete = self._extend_track(detection, detection.track_id)
            elif self.settings.method == "paper":  # the paper knows single images only
                complete = OpenTracklet.of(detection)
            else:
                complete = self.boxes.observe(detection)
            if complete is not None:
                done.append(complete)
        done += self.boxes.close(before_s)
        for key in [k for k, t in self._open.items() if self._closes_s(t) < before_s]:
            done.append(self._open.pop(key))
        return _ordered(done)

    def cut(self) -> list[OpenTracklet]:
        """Completes all that is open, in the order of ``close``."""
        done = [*self._open.values(), *self.boxes.cut()]
        self._open.clear()
        return _ordered(done)

    def forget_boxes(self) -> None:
        """Forgets what was learned about boxes: another extractor embeds what comes."""
        self.boxes = BoxTracker(self.settings)

    @property
    def detection_ids(self) -> set[str]:
        """The detections whose own embeddings are still needed: those that wait and the sample."""
        return {entry[3].id for entry in self._pending} | self.boxes.sample_ids

    def reembed(self, extractor: str, vectors: Mapping[str, Vector]) -> list[Detection]:
        """Puts everything into another extractor's version; what is open must be cut before.

        ``vectors`` are embeddings (D,) by detection id. Gives the waiting detections that have
        none: they are dropped.
        """
        waiting = sorted((entry[3] for entry in self._pending), key=_arrival)
        self._pending.clear()
        for detection in waiting:
            vector = vectors.get(detection.id)
            if vector is not None:
                self.observe(replace(detection, embedding=vector, extractor=extractor))
        self.boxes = self.boxes.reembedded(vectors)
        return [detection for detection in waiting if detection.id not in vectors]

    def state(self) -> BuilderState:
        """Everything known, to go on from."""
        pending = sorted((entry[3] for entry in self._pending), key=_arrival)
        return BuilderState(pending, list(self._open.values()), self.boxes.state())

    @classmethod
    def restore(cls, settings: TrackerSettings, state: BuilderState) -> TrackletBuilder:
        """Goes on from ``state``."""
        made = cls(settings, BoxTracker.restore(settings, state.boxes))
        for detection in state.pending:
            made.observe(detection)
        made._open = {(t.camera, t.track_id or ""): t for t in state.open}
        return made

    def _extend_track(self, detection: Detection, track_id: str) -> OpenTracklet | None:
        """Puts a detection into its track; the part before it where that is complete."""
        key = (detection.camera, track_id)
        current = self._open.get(key)
        if current is not None and self._continues(current, detection):
            current.add(detection)
            return None
        self._open[key] = OpenTracklet.of(detection)
        return current

    def _continues(self, current: OpenTracklet, detection: Detection) -> bool:
        return (
            detection.time_s - current.end_s <= self.settings.tracklet_gap_s
            and detection.time_s - current.start_s <= self.settings.tracklet_max_s
            and detection.extractor == current.extractor
        )

    def _closes_s(self, tracklet: OpenTracklet) -> float:
        return min(
            tracklet.end_s + self.settings.tracklet_gap_s,
            tracklet.start_s + self.settings.tracklet_max_s,
        )


def _arrival(detection: Detection) -> tuple[float, str, str]:
    return detection.time_s, detection.camera, detection.id


def _ordered(done: Iterable[OpenTracklet]) -> list[OpenTracklet]:
    return sorted(done, key=lambda t: (t.end_s, t.camera, t.ids[0]))
