"""From detections to tracklets, in order of event time: the camera's own tracks, and visits where
the camera does not track.

The law: what comes out depends on the detections alone, not on the order in which they came, as
long as none is late.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from stgal_stream.core.tracklets import OpenTracklet
from stgal_stream.core.visits import Visits
from stgal_stream.types import Detection, TrackerSettings

TrackKey = tuple[str, str]


@dataclass(slots=True)
class TrackletBuilder:
    """Detections that wait for the watermark, and the tracklets that they have opened."""

    settings: TrackerSettings
    visits: Visits
    pending: list[tuple[float, str, str, Detection]] = field(default_factory=list)
    open: dict[TrackKey, OpenTracklet] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.pending) + len(self.open) + len(self.visits)

    def observe(self, detection: Detection) -> None:
        """Takes a detection that is not late."""
        key = (detection.time_s, detection.camera, detection.id, detection)
        heapq.heappush(self.pending, key)

    def next_s(self) -> float:
        """The earliest event time at which something can happen; infinite if nothing waits."""
        first = self.pending[0][0] if self.pending else float("inf")
        tracks_s = (self._closes_s(t) for t in self.open.values())
        return min([first, self.visits.next_s(), *tracks_s])

    def close(self, before_s: float) -> list[OpenTracklet]:
        """The tracklets that are complete at an event time, by end, camera and first id."""
        done: list[OpenTracklet] = []
        while self.pending and self.pending[0][0] < before_s:
            detection = heapq.heappop(self.pending)[3]
            if detection.track_id is not None:
                complete = self._take_track(detection, detection.track_id)
            elif self.settings.setting == "paper":  # the paper knows single images only
                complete = OpenTracklet.of(detection)
            else:
                complete = self.visits.observe(detection)
            if complete is not None:
                done.append(complete)
        done += self.visits.close(before_s)
        for key in [k for k, t in self.open.items() if self._closes_s(t) < before_s]:
            done.append(self.open.pop(key))
        return sorted(done, key=lambda t: (t.end_s, t.camera, t.ids[0]))

    def cut(self) -> list[OpenTracklet]:
        """All that is open, complete as it is, in the order of ``close``."""
        done = [*self.open.values(), *self.visits.cut()]
        self.open.clear()
        return sorted(done, key=lambda t: (t.end_s, t.camera, t.ids[0]))

    def _take_track(self, detection: Detection, track_id: str) -> OpenTracklet | None:
        """Puts a detection into its track; the part before it where that is complete."""
        key = (detection.camera, track_id)
        current = self.open.get(key)
        if current is not None and self._continues(current, detection):
            current.add(detection)
            return None
        self.open[key] = OpenTracklet.of(detection)
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
