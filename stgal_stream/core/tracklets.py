"""From detections to tracklets: the camera's own tracks, taken in order of event time.

The law: what comes out depends on the detections alone, not on the order in which they came, as
long as none is late. A detection without a track id is a tracklet of length one.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stgal_stream.types import Box, Detection, Position, TrackerSettings

TrackKey = tuple[str, str]


@dataclass(slots=True)
class OpenTracklet:
    """A tracklet that may still grow. ``total`` sums embeddings, ``lengths`` their norms."""

    camera: str
    track_id: str | None
    extractor: str
    start_s: float
    end_s: float
    total: NDArray[np.float64]
    lengths: float
    ids: list[str]
    best: float
    box: Box | None
    position: Position | None

    @classmethod
    def of(cls, detection: Detection) -> OpenTracklet:
        """A tracklet of one detection."""
        vector = detection.embedding.astype(np.float64)
        return cls(
            detection.camera,
            detection.track_id,
            detection.extractor,
            detection.time_s,
            detection.time_s,
            vector,
            float(np.linalg.norm(vector)),
            [detection.id],
            _quality(detection),
            detection.box,
            detection.position,
        )

    def add(self, detection: Detection) -> None:
        """The next detection of the same track."""
        vector = detection.embedding.astype(np.float64)
        self.end_s = detection.time_s
        self.total = self.total + vector
        self.lengths += float(np.linalg.norm(vector))
        self.ids.append(detection.id)
        if _quality(detection) > self.best:
            self.best = _quality(detection)
            self.box, self.position = detection.box, detection.position

    def mean_embedding(self) -> NDArray[np.float32]:
        """The mean direction at the mean length, (D,): averaging must not shrink a vector, or
        long tracklets would lie closer to everybody."""
        length = float(np.linalg.norm(self.total))
        scale = self.lengths / len(self.ids) / length if length > 0 else 0.0
        return np.asarray(self.total * scale, dtype=np.float32)


@dataclass(slots=True)
class TrackletBuilder:
    """Detections that wait for the watermark, and the tracklets that they have opened."""

    settings: TrackerSettings
    pending: list[tuple[float, str, str, Detection]] = field(default_factory=list)
    open: dict[TrackKey, OpenTracklet] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.pending) + len(self.open)

    def observe(self, detection: Detection) -> None:
        """Takes a detection that is not late."""
        key = (detection.time_s, detection.camera, detection.id, detection)
        heapq.heappush(self.pending, key)

    def next_s(self) -> float:
        """The earliest event time at which something can happen; infinite if nothing waits."""
        first = self.pending[0][0] if self.pending else float("inf")
        return min([first, *(self._closes_s(t) for t in self.open.values())])

    def close(self, before_s: float) -> list[OpenTracklet]:
        """The tracklets that are complete at an event time, by end, camera and first id."""
        done: list[OpenTracklet] = []
        while self.pending and self.pending[0][0] < before_s:
            detection = heapq.heappop(self.pending)[3]
            if detection.track_id is None:
                done.append(OpenTracklet.of(detection))
                continue
            key = (detection.camera, detection.track_id)
            current = self.open.get(key)
            if current is not None and not self._continues(current, detection):
                done.append(self.open.pop(key))
                current = None
            if current is None:
                self.open[key] = OpenTracklet.of(detection)
            else:
                current.add(detection)
        for key in [k for k, t in self.open.items() if self._closes_s(t) < before_s]:
            done.append(self.open.pop(key))
        return sorted(done, key=lambda t: (t.end_s, t.camera, t.ids[0]))

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


def _quality(detection: Detection) -> float:
    """How good a crop stands for its tracklet: large and confident."""
    area = 1.0
    if detection.box is not None:
        box = detection.box
        area = (box.right_px - box.left_px) * (box.bottom_px - box.top_px)
    return area * (detection.confidence if detection.confidence is not None else 1.0)
