"""The change of a site's window to another extractor's version.

Laws. Nothing is compared across versions: at the change the whole window is in the new one, and a
tracklet of which nothing was embedded again stays what it is but is compared with nothing.
Identities go on: who is who was decided, and is judged again with the next calibration. A detection
that is given twice counts once.
"""

from __future__ import annotations

import numpy as np

from stgal_stream.core.tracker.site_tracker import SiteTracker
from stgal_stream.core.tracklets.open_tracklet import mean_embedding
from stgal_stream.types import Event, Floats, Reason, Refusal, Vector


class ExtractorChange:
    """Changes a tracker to ``extractor``: ``take`` what was embedded again, then ``apply``."""

    def __init__(self, tracker: SiteTracker, extractor: str) -> None:
        self._tracker = tracker
        self._extractor = extractor
        self._at_s = tracker.grid_time_s
        # What is open is complete here: a camera's track goes on as the next part of itself.
        self._events = tracker.window.step(tracker.builder.cut(), self._at_s)
        self._row = {
            name: row
            for row, tracklet in enumerate(tracker.window.gallery.tracklets)
            for name in tracklet.detection_ids
        }
        self._single = tracker.builder.detection_ids
        self._vectors: dict[str, Vector] = {}
        self._sums: dict[int, tuple[Floats, float, float]] = {}
        self._seen: set[str] = set()
        self._dim: int | None = None

    def take(self, detection_id: str, vector: Vector, weight: float = 1.0) -> None:
        """Takes a detection of the window, embedded by the new extractor, (D,), and what it counts
        in its tracklet."""
        if detection_id in self._seen or (self._dim or len(vector)) != len(vector):
            return
        self._seen.add(detection_id)
        self._dim = len(vector)
        if detection_id in self._single:
            self._vectors[detection_id] = vector
        row = self._row.get(detection_id)
        if row is not None:
            wide = weight * vector.astype(np.float64)
            total, lengths, sum_ = self._sums.get(row, (np.zeros(1), 0.0, 0.0))
            self._sums[row] = (total + wide, lengths + float(np.linalg.norm(wide)), sum_ + weight)

    def apply(self) -> list[Event]:
        """Puts the window into the new version and calibrates on it: the events that follow."""
        tracker, window, events = self._tracker, self._tracker.window, self._events
        if self._dim is not None:  # what waits for the watermark may be all there is
            tracker.extractor, tracker.dim = self._extractor, self._dim
        if self._dim is None or not self._sums:
            events += window.forget_all(self._at_s)
        else:
            n = len(window.gallery)
            embeddings, comparable = np.zeros((n, self._dim), np.float32), np.zeros(n, bool)
            for row, sums in self._sums.items():
                embeddings[row], comparable[row] = mean_embedding(*sums), True
            events += window.reembed(self._extractor, embeddings, comparable, self._at_s)
        detail = f"its crop could not be embedded by {self._extractor!r}"
        lost = tracker.builder.reembed(self._extractor, self._vectors)
        events += [Refusal(d, Reason.FOREIGN_EMBEDDING, detail) for d in lost]
        return events
