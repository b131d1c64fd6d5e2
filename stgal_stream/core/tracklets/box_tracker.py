"""Box tracks: boxes that a camera does not track, joined to tracklets by appearance and time.

Laws. A box joins an open box track of its camera only where the mean log odds over the track's
newest boxes favour one person, so that one lucky pair cannot glue two people. A box of the same
moment has a veto: other boxes cannot outvote that two people were seen at once, unless that pair by
itself favours one person boxed twice. What boxes of one person have in common is learned from
single boxes without a label; until that is known, every box is a tracklet by itself.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace

import numpy as np

from stgal_stream.core.measures.boxes import SAME_BOX_IOU, intersection_over_union
from stgal_stream.core.measures.distance import distances
from stgal_stream.core.tracklets.box_pair_model import BoxPairModel, SampleBox, fit_box_pairs
from stgal_stream.core.tracklets.open_tracklet import OpenTracklet
from stgal_stream.settings import TrackerSettings
from stgal_stream.types import Box, Detection, Floats, Vector

_N_COMPARED = 8  # newest boxes of a track: older ones show other poses, and cost as much
_N_SAMPLE = 2_000  # boxes kept for fitting: two million pairs, a second of work
_SAME_PLACE_S = 0.1  # boxes over each other in one frame are judged as a moment apart, not as two
_NULL_LENGTHS = 20.0  # the null reaches to so many longest tracklets: minutes, not hours, of light


@dataclass(frozen=True, slots=True)
class TrackedBox:
    """One box of an open track: what the next one is compared with."""

    embedding: Vector
    time_s: float
    box: Box | None

    @classmethod
    def of(cls, detection: Detection) -> TrackedBox:
        """A detection's box."""
        return cls(detection.embedding, detection.time_s, detection.box)


@dataclass(slots=True)
class BoxTrack:
    """A track that may still grow, and its newest boxes."""

    tracklet: OpenTracklet
    newest: list[TrackedBox]

    @classmethod
    def of(cls, detection: Detection) -> BoxTrack:
        """A track of one box."""
        return cls(OpenTracklet.of(detection), [TrackedBox.of(detection)])

    def add(self, detection: Detection) -> None:
        """Adds the next box of the same person."""
        self.tracklet.add(detection)
        self.newest = [*self.newest, TrackedBox.of(detection)][-_N_COMPARED:]


@dataclass(frozen=True, slots=True)
class BoxTrackerState:
    """All that a ``BoxTracker`` knows."""

    open: list[BoxTrack]
    sample: list[SampleBox]
    model: BoxPairModel | None
    n_until_calibration: int


class BoxTracker:
    """The open box tracks of one site by camera, the newest single boxes and what they say."""

    def __init__(self, settings: TrackerSettings) -> None:
        self.settings = settings
        self.model: BoxPairModel | None = None
        self._open: dict[str, list[BoxTrack]] = {}
        self._sample: deque[SampleBox] = deque()
        self._n_until_calibration = settings.first_calibration

    def __len__(self) -> int:
        return sum(len(tracks) for tracks in self._open.values())

    @property
    def open(self) -> list[BoxTrack]:
        """The open tracks, camera by camera."""
        return [track for here in self._open.values() for track in here]

    @property
    def sample_ids(self) -> set[str]:
        """Detection ids of the single boxes that are kept."""
        return {box.detection_id for box in self._sample}

    def observe(self, detection: Detection) -> OpenTracklet | None:
        """Takes the next box in order of time; gives it back where it can only stay alone."""
        self._learn(detection)
        if self.model is None or not self.model.knows(detection.camera):
            return OpenTracklet.of(detection)
        here = self._open.setdefault(detection.camera, [])
        track = self._best_track(detection, here)
        if track is None:
            here.append(BoxTrack.of(detection))
        else:
            track.add(detection)
        return None

    def next_s(self) -> float:
        """The earliest event time at which a track closes; infinite if none is open."""
        return min((self._closes_s(track) for track in self.open), default=math.inf)

    def close(self, before_s: float) -> list[OpenTracklet]:
        """The tracks that are complete at an event time. Single boxes older than the window are
        forgotten."""
        done: list[OpenTracklet] = []
        for camera, tracks in list(self._open.items()):
            done += [t.tracklet for t in tracks if self._closes_s(t) < before_s]
            self._open[camera] = [t for t in tracks if self._closes_s(t) >= before_s]
            if not self._open[camera]:
                del self._open[camera]
        while self._sample and self._sample[0].time_s < before_s - self.settings.window_s:
            self._sample.popleft()
        return done

    def cut(self) -> list[OpenTracklet]:
        """Completes all open tracks."""
        done = [track.tracklet for track in self.open]
        self._open.clear()
        return done

    def forget(self, detection_ids: Set[str]) -> None:
        """Forgets boxes, and the open tracks that hold any of them."""
        kept = [box for box in self._sample if box.detection_id not in detection_ids]
        self._sample = deque(kept)
        for camera, tracks in self._open.items():
            self._open[camera] = [t for t in tracks if detection_ids.isdisjoint(t.tracklet.ids)]

    def reembedded(self, vectors: Mapping[str, Vector]) -> BoxTracker:
        """The same in another extractor's version: ``vectors`` (D,) by detection id. What is open
        must be cut before."""
        made = BoxTracker(self.settings)
        made._n_until_calibration = self._n_until_calibration
        made._sample.extend(
            replace(box, embedding=vectors[box.detection_id])
            for box in self._sample
            if box.detection_id in vectors
        )
        if self.model is not None and made._sample:
            made.model = made._fitted()
        return made

    def state(self) -> BoxTrackerState:
        """Everything known, to go on from."""
        return BoxTrackerState(self.open, list(self._sample), self.model, self._n_until_calibration)

    @classmethod
    def restore(cls, settings: TrackerSettings, state: BoxTrackerState) -> BoxTracker:
        """Goes on from ``state``."""
        made = cls(settings)
        for track in state.open:
            made._open.setdefault(track.tracklet.camera, []).append(track)
        made._sample.extend(state.sample)
        made.model, made._n_until_calibration = state.model, state.n_until_calibration
        return made

    def _learn(self, detection: Detection) -> None:
        """Keeps the box in the sample; when enough of it is new, fits the model again."""
        self._sample.append(
            SampleBox(
                detection.camera,
                detection.time_s,
                detection.embedding,
                detection.id,
                detection.box,
            )
        )
        if len(self._sample) > _N_SAMPLE:
            self._sample.popleft()
        self._n_until_calibration -= 1
        if self._n_until_calibration <= 0:
            self.model = self._fitted()
            growth = math.ceil(self.settings.calibration_growth * len(self._sample))
            self._n_until_calibration = max(self.settings.first_calibration // 2, growth)

    def _fitted(self) -> BoxPairModel:
        longest_s = self.settings.tracklet_max_s
        null_s = (longest_s, _NULL_LENGTHS * longest_s)
        return fit_box_pairs(tuple(self._sample), self.settings.box_track_gap_s, null_s)

    def _closes_s(self, track: BoxTrack) -> float:
        settings = self.settings
        return track.tracklet.closes_s(settings.box_track_gap_s, settings.tracklet_max_s)

    def _best_track(self, detection: Detection, tracks: list[BoxTrack]) -> BoxTrack | None:
        """The open track to which a box most probably belongs, if to any."""
        limits = self.settings.box_track_gap_s, self.settings.tracklet_max_s
        able = [
            track
            for track in tracks
            if track.tracklet.extractor == detection.extractor
            and track.tracklet.goes_on(detection.time_s, *limits)
        ]
        if not able:
            return None
        log_odds = self._log_odds(detection, [box for track in able for box in track.newest])
        ends = np.cumsum([len(track.newest) for track in able])
        parts = zip(able, np.split(log_odds, ends[:-1]), strict=True)
        means = [_mean_log_odds(part, track.newest, detection.time_s) for track, part in parts]
        best = int(np.argmax(means))
        return able[best] if means[best] > 0 else None

    def _log_odds(self, detection: Detection, boxes: list[TrackedBox]) -> Floats:
        """Log odds that a new box shows the person of each of the others, (N,)."""
        assert self.model is not None
        others = np.stack([box.embedding for box in boxes])
        d = distances(detection.embedding[None, :], others)[0].astype(np.float64)
        t = np.abs(detection.time_s - np.array([box.time_s for box in boxes]))
        overlaps = [_overlap(detection, box) for box in boxes]
        same_place = np.array([o is not None and o >= SAME_BOX_IOU for o in overlaps])
        elsewhere = np.array([o is not None and o < SAME_BOX_IOU for o in overlaps])
        found = self.model.log_odds(detection.camera, d, np.where(same_place, _SAME_PLACE_S, t))
        return np.where(elsewhere, -np.inf, found)


def _mean_log_odds(log_odds: Floats, boxes: list[TrackedBox], time_s: float) -> float:
    """The mean log odds (N,) that a box of that time shows the person of a track's boxes; minus
    infinity where one of the same moment shows somebody else."""
    simultaneous = np.array([box.time_s == time_s for box in boxes])
    return -math.inf if (log_odds[simultaneous] <= 0).any() else float(log_odds.mean())


def _overlap(detection: Detection, other: TrackedBox) -> float | None:
    """Intersection over union of two boxes of one frame; None where they are of two frames or the
    camera gives no boxes."""
    if detection.time_s != other.time_s or detection.box is None or other.box is None:
        return None
    return intersection_over_union(detection.box, other.box)
