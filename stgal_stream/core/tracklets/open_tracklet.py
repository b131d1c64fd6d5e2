"""One tracklet in the making: what its detections add up to."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from stgal_stream.core.measures.boxes import BoxMoments
from stgal_stream.types import Box, Detection, Floats, Position, Vector


@dataclass(slots=True)
class OpenTracklet:
    """A tracklet that may still grow.

    ``total`` (D,) sums the embeddings, ``lengths`` their norms and ``weight`` what they count by;
    ``best`` is the quality of the best crop, ``box`` and ``position`` are that crop's; ``last_box``
    is the newest detection's; ``late_s`` is how far behind the watermark a detection came, at most;
    ``boxes`` are the moments of all boxes.
    """

    camera: str
    track_id: str | None
    extractor: str
    start_s: float
    end_s: float
    total: Floats
    lengths: float
    weight: float
    ids: list[str]
    best: float
    box: Box | None
    position: Position | None
    last_box: Box | None = None
    late_s: float = 0.0
    boxes: BoxMoments = field(default_factory=BoxMoments)

    @classmethod
    def of(cls, detection: Detection) -> OpenTracklet:
        """A tracklet of one detection."""
        vector = detection.weight * detection.embedding.astype(np.float64)
        return cls(
            detection.camera,
            detection.track_id,
            detection.extractor,
            detection.time_s,
            detection.time_s,
            vector,
            float(np.linalg.norm(vector)),
            detection.weight,
            [detection.id],
            _quality(detection),
            detection.box,
            detection.position,
            detection.box,
            detection.late_s,
            BoxMoments.of(detection.box),
        )

    def add(self, detection: Detection) -> None:
        """Adds the next detection of the same track."""
        vector = detection.weight * detection.embedding.astype(np.float64)
        if detection.time_s >= self.end_s:
            self.end_s, self.last_box = detection.time_s, detection.box
        self.start_s = min(self.start_s, detection.time_s)  # late ones come in any order
        self.late_s = max(self.late_s, detection.late_s)
        self.total = self.total + vector
        self.lengths += float(np.linalg.norm(vector))
        self.weight += detection.weight
        self.ids.append(detection.id)
        if detection.box is not None:
            self.boxes = self.boxes + BoxMoments.of(detection.box)
        if _quality(detection) > self.best:
            self.best = _quality(detection)
            self.box, self.position = detection.box, detection.position

    def closes_s(self, gap_s: float, longest_s: float) -> float:
        """The event time at which no further detection can belong to it: after a gap, or when it
        is as long as one may be."""
        return min(self.end_s + gap_s, self.start_s + longest_s) + self.late_s

    def goes_on(self, time_s: float, gap_s: float, longest_s: float) -> bool:
        """Whether a detection of an event time can belong to it."""
        return abs(time_s - self.end_s) <= gap_s and time_s - self.start_s <= longest_s

    def mean_embedding(self) -> Vector:
        """The mean direction at the mean length, (D,)."""
        return mean_embedding(self.total, self.lengths, self.weight)


def mean_embedding(total: Floats, lengths: float, weight: float) -> Vector:
    """The mean direction at the mean length of weighted embeddings, (D,).

    ``total`` (D,) is their sum, ``lengths`` the sum of their norms and ``weight`` that of their
    weights. A plain mean would be shorter the more the embeddings differ, and long tracklets would
    lie closer to everybody.
    """
    length = float(np.linalg.norm(total))
    scale = lengths / weight / length if length > 0 else 0.0
    return np.asarray(total * scale, dtype=np.float32)


def _quality(detection: Detection) -> float:
    """How well a crop stands for its tracklet: large and confident is best."""
    area = 1.0
    if detection.box is not None:
        box = detection.box
        area = (box.right_px - box.left_px) * (box.bottom_px - box.top_px)
    return area * (detection.confidence if detection.confidence is not None else 1.0)
