"""From detections to tracklets: the camera's own tracks, and box tracks where it gives none.

A track that is in two places of one frame is no track (an id that stands for "not tracked", or one
that several people share): its boxes are joined by appearance, like those of a camera that does not
track.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, replace

from stgal_stream.core.measures.boxes import SAME_BOX_IOU, intersection_over_union, visible_shares
from stgal_stream.core.tracklets.box_tracker import BoxTracker, BoxTrackerState
from stgal_stream.core.tracklets.open_tracklet import OpenTracklet
from stgal_stream.settings import TrackerSettings
from stgal_stream.types import Detection, Vector

TrackKey = tuple[str, str]  # camera, and the camera's own id of the track
_LEAST_SHARE = 0.1  # of somebody whom a detector found, whatever stands before them


@dataclass(frozen=True, slots=True)
class BuilderState:
    """All that a ``TrackletBuilder`` knows."""

    pending: list[Detection]
    open: list[OpenTracklet]
    boxes: BoxTrackerState
    doubted: dict[TrackKey, float]


@dataclass(slots=True)
class TrackletBuilder:
    """Detections that wait for the watermark, and the tracklets that they have opened."""

    settings: TrackerSettings
    boxes: BoxTracker
    _pending: list[tuple[float, float, str, str, Detection]] = field(default_factory=list)
    _open: dict[TrackKey, OpenTracklet] = field(default_factory=dict)
    # Tracks that were in two places at once, and when each was last heard of.
    _doubted: dict[TrackKey, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._pending) + len(self._open) + len(self.boxes)

    def observe(self, detection: Detection) -> None:
        """Takes a detection; it counts when the watermark has passed it."""
        heapq.heappush(self._pending, (*_arrival(detection), detection))

    def retime(self, camera: str, after_s: float, by_s: float) -> None:
        """A camera's clock was found to be ahead: its detections beyond an event time are of
        ``by_s`` seconds earlier."""
        waiting = [entry[-1] for entry in self._pending]
        self._pending.clear()
        for detection in waiting:
            is_ahead = detection.camera == camera and detection.time_s > after_s
            moved_s = detection.time_s - by_s
            self.observe(replace(detection, time_s=moved_s) if is_ahead else detection)

    def next_s(self) -> float:
        """The earliest event time at which something can happen; infinite if nothing waits."""
        tracks_s = (self._closes_s(t) for t in self._open.values())
        return min([self.earliest_s, self.boxes.next_s(), *tracks_s])

    def drop_furthest(self) -> Detection | None:
        """Takes out the waiting detection of the latest event time, if any waits."""
        if not self._pending:
            return None
        furthest = max(self._pending)
        self._pending.remove(furthest)
        heapq.heapify(self._pending)
        return furthest[-1]

    @property
    def earliest_s(self) -> float:
        """The earliest event time for which a detection waits; infinite if none does."""
        return self._pending[0][0] if self._pending else float("inf")

    @property
    def latest_s(self) -> float:
        """The latest event time for which a detection waits; minus infinity if none does."""
        return max((entry[0] for entry in self._pending), default=float("-inf"))

    def close(self, before_s: float) -> list[OpenTracklet]:
        """The tracklets that are complete at an event time, by end, camera and first id."""
        done: list[OpenTracklet] = []
        while self._pending and self._pending[0][0] < before_s:
            for detection in _weighted_by_view(self._next_frame()):
                done += self._take(detection)
        done += self.boxes.close(before_s)
        oldest_s = before_s - self.settings.window_s
        # What no later detection can be doubted for.
        self._doubted = {key: at_s for key, at_s in self._doubted.items() if at_s >= oldest_s}
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

    def forget(self, detection_ids: Set[str]) -> None:
        """Forgets detections, and the open tracklets that hold any of them."""
        self._pending = [e for e in self._pending if e[-1].id not in detection_ids]
        heapq.heapify(self._pending)
        self._open = {k: t for k, t in self._open.items() if detection_ids.isdisjoint(t.ids)}
        self.boxes.forget(detection_ids)

    @property
    def detection_ids(self) -> set[str]:
        """The detections whose own embeddings are still needed: those that wait and the sample."""
        return {entry[-1].id for entry in self._pending} | self.boxes.sample_ids

    def reembed(self, extractor: str, vectors: Mapping[str, Vector]) -> list[Detection]:
        """Puts everything into another extractor's version; what is open must be cut before.

        ``vectors`` are embeddings (D,) by detection id. Gives the waiting detections that have
        none: they are dropped.
        """
        waiting = sorted((entry[-1] for entry in self._pending), key=_arrival)
        self._pending.clear()
        for detection in waiting:
            vector = vectors.get(detection.id)
            if vector is not None:
                self.observe(replace(detection, embedding=vector, extractor=extractor))
        self.boxes = self.boxes.reembedded(vectors)
        return [detection for detection in waiting if detection.id not in vectors]

    def state(self) -> BuilderState:
        """Everything known, to go on from."""
        pending = sorted((entry[-1] for entry in self._pending), key=_arrival)
        return BuilderState(
            pending, list(self._open.values()), self.boxes.state(), dict(self._doubted)
        )

    @classmethod
    def restore(cls, settings: TrackerSettings, state: BuilderState) -> TrackletBuilder:
        """Goes on from ``state``."""
        made = cls(settings, BoxTracker.restore(settings, state.boxes))
        for detection in state.pending:
            made.observe(detection)
        made._open = {(t.camera, t.track_id or ""): t for t in state.open}
        made._doubted = dict(state.doubted)
        return made

    def _next_frame(self) -> list[Detection]:
        """Takes out what one camera saw at the next moment."""
        frame = [heapq.heappop(self._pending)]
        while self._pending and self._pending[0][:3] == frame[0][:3]:
            frame.append(heapq.heappop(self._pending))
        return [entry[-1] for entry in frame]

    def _take(self, detection: Detection) -> list[OpenTracklet]:
        """Puts the next detection where it belongs; the tracklets that are complete by it."""
        if detection.track_id is None:
            return self._without_track(detection)
        key = detection.camera, detection.track_id
        done = []
        if key in self._open and _are_two_places(self._open[key], detection):
            done.append(self._open.pop(key))
            self._doubted[key] = detection.due_s
        heard_s = self._doubted.get(key)
        if heard_s is not None and detection.due_s - heard_s <= self.settings.window_s:
            self._doubted[key] = detection.due_s
            return done + self._without_track(replace(detection, track_id=None))
        complete = self._extend_track(detection, detection.track_id)
        return [complete] if complete is not None else []

    def _without_track(self, detection: Detection) -> list[OpenTracklet]:
        """Puts a box without a track into a box track; the paper knows single images only."""
        if self.settings.method == "paper":
            return [OpenTracklet.of(detection)]
        complete = self.boxes.observe(detection)
        return [complete] if complete is not None else []

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
        limits = self.settings.tracklet_gap_s, self.settings.tracklet_max_s
        goes_on = current.goes_on(detection.time_s, *limits)
        return goes_on and detection.extractor == current.extractor

    def _closes_s(self, tracklet: OpenTracklet) -> float:
        return tracklet.closes_s(self.settings.tracklet_gap_s, self.settings.tracklet_max_s)


def _are_two_places(track: OpenTracklet, detection: Detection) -> bool:
    """Whether a detection is of the same frame as its track's newest one, and is not the same box
    once more. Boxes that the camera does not give cannot lie apart, but a track has one a frame."""
    if detection.time_s != track.end_s:
        return False
    if detection.box is None or track.last_box is None:
        return True
    return intersection_over_union(detection.box, track.last_box) < SAME_BOX_IOU


def _weighted_by_view(frame: list[Detection]) -> list[Detection]:
    """The detections of a frame, of which those behind others count less in their tracklets."""
    boxes = [d.box for d in frame if d.box is not None]
    if len(boxes) < 2:
        return frame
    shares = iter(visible_shares(boxes).tolist())
    return [
        d if d.box is None else replace(d, weight=d.weight * max(next(shares), _LEAST_SHARE))
        for d in frame
    ]


def _arrival(detection: Detection) -> tuple[float, float, str, str]:
    return detection.due_s, detection.time_s, detection.camera, detection.id


def _ordered(done: Iterable[OpenTracklet]) -> list[OpenTracklet]:
    return sorted(done, key=lambda t: (t.end_s, t.camera, t.ids[0]))
