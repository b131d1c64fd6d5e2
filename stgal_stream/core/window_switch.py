"""A site's window as another extractor sees it.

The laws. Nothing is compared across versions: at the switch the whole window is in the new one, and
a tracklet of which nothing was embedded anew stays what it is but is compared with nothing.
Identities go on: who is who was decided, and is judged anew with the next calibration. A detection
that is given twice counts once.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import replace

import numpy as np

from stgal_stream.core.site_tracker import SiteTracker
from stgal_stream.core.tracklets import mean_embedding
from stgal_stream.types import Detection, Event, Reason, Refusal, Vector


class WindowSwitch:
    """The change of a tracker to ``extractor``: ``take`` what was embedded anew, then ``apply``."""

    def __init__(self, tracker: SiteTracker, extractor: str) -> None:
        self._tracker = tracker
        self._extractor = extractor
        step_s, watermark_s = tracker.settings.step_s, tracker.watermark.value_s
        self._at_s = math.floor(watermark_s / step_s) * step_s if watermark_s > 0 else 0.0
        associator = tracker.associator
        # What is open is complete here: a camera's track goes on as the next part of itself.
        self._events = associator.step(tracker.builder.cut(), self._at_s)
        self._row = {
            name: row
            for row, tracklet in enumerate(associator.gallery.tracklets)
            for name in tracklet.detection_ids
        }
        waiting = {entry[3].id for entry in tracker.builder.pending}
        self._single = waiting | {box.id for box in tracker.builder.visits.sample.tracklets}
        self._vectors: dict[str, Vector] = {}
        self._sums: dict[int, tuple[np.ndarray, float, int]] = {}
        self._seen: set[str] = set()
        self._dim: int | None = None

    def take(self, detection_id: str, vector: Vector) -> None:
        """A detection of the window, embedded by the new extractor (D,)."""
        if detection_id in self._seen or (self._dim or len(vector)) != len(vector):
            return
        self._seen.add(detection_id)
        self._dim = len(vector)
        if detection_id in self._single:
            self._vectors[detection_id] = vector
        row = self._row.get(detection_id)
        if row is not None:
            total, lengths, n = self._sums.get(row, (0.0, 0.0, 0))
            wide = vector.astype(np.float64)
            self._sums[row] = (total + wide, lengths + float(np.linalg.norm(wide)), n + 1)

    def apply(self) -> list[Event]:
        """Puts the window into the new version and calibrates on it: the events that follow."""
        tracker, events = self._tracker, self._events
        associator = tracker.associator
        if self._dim is not None:  # what waits for the watermark may be all there is
            tracker.extractor, tracker.dim = self._extractor, self._dim
        if self._dim is None or not self._sums:
            events += associator.forget_all(self._at_s)
        else:
            n = len(associator.gallery)
            embeddings, known = np.zeros((n, self._dim), np.float32), np.zeros(n, bool)
            for row, (total, lengths, count) in self._sums.items():
                embeddings[row], known[row] = mean_embedding(total, lengths, count), True
            associator.gallery.reembed(self._extractor, embeddings, known)
            events += associator.see_anew(self._at_s)
        events += self._replace_waiting()
        tracker.builder.visits = tracker.builder.visits.seen_by(self._extractor, self._vectors)
        return events

    def _replace_waiting(self) -> list[Event]:
        """Detections that wait for the watermark."""
        builder = self._tracker.builder
        waiting = [entry[3] for entry in builder.pending]
        builder.pending.clear()
        lost: list[Detection] = []
        for detection in waiting:
            vector = self._vectors.get(detection.id)
            if vector is None:
                lost.append(detection)
                continue
            anew = replace(detection, embedding=vector, extractor=self._extractor)
            heapq.heappush(builder.pending, (anew.time_s, anew.camera, anew.id, anew))
        detail = f"its crop could not be embedded by {self._extractor!r}"
        lost.sort(key=lambda d: (d.time_s, d.camera, d.id))
        return [Refusal(d, Reason.FOREIGN_EMBEDDING, detail) for d in lost]
