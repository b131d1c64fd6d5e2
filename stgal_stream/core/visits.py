"""Visits: boxes that a camera does not track, joined to tracklets by appearance and time.

The laws. A box joins an open visit of its camera only where the mean log odds over the visit's
newest boxes favour one person, so one lucky pair cannot glue two people; and where it was boxed in
the same moment as one of them, only where that pair by itself favours one person boxed twice: other
boxes cannot outvote that two were seen at once. What two boxes of one person have in common is
learned from single boxes (``sample``), without a label; until that is known, and where it says
nothing, every box is a tracklet by itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stgal_stream.core.box_model import BoxModel, fit_boxes
from stgal_stream.core.gallery import Gallery
from stgal_stream.core.tracklets import OpenTracklet
from stgal_stream.core.visual import SAME_BOX_IOU, distances, intersection_over_union
from stgal_stream.types import Box, Detection, TrackerSettings, Tracklet, Vector

_N_COMPARED = 8
_N_SAMPLE = 2_000
_A_MOMENT_S = 0.1
_NULL_LENGTHS = 20.0


@dataclass(frozen=True, slots=True)
class VisitBox:
    """One box of an open visit: what the next one is compared with."""

    embedding: NDArray[np.float32]
    time_s: float
    box: Box | None


@dataclass(slots=True)
class OpenVisit:
    """A visit that may still grow, and its newest boxes."""

    tracklet: OpenTracklet
    newest: list[VisitBox]

    @classmethod
    def of(cls, detection: Detection) -> OpenVisit:
        """A visit of one box."""
        return cls(OpenTracklet.of(detection), [_visit_box(detection)])

    def add(self, detection: Detection) -> None:
        """The next box of the same person."""
        self.tracklet.add(detection)
        self.newest = [*self.newest, _visit_box(detection)][-_N_COMPARED:]


class Visits:
    """The open visits of one site by camera, the newest single boxes and what they say."""

    def __init__(self, settings: TrackerSettings) -> None:
        self.settings = settings
        self.open: dict[str, list[OpenVisit]] = {}
        self.sample = Gallery()
        self.model: BoxModel | None = None
        self.n_until_calibration = settings.first_calibration

    def __len__(self) -> int:
        return sum(len(visits) for visits in self.open.values())

    def observe(self, detection: Detection) -> OpenTracklet | None:
        """Takes the next box in order of time; gives it back where it can only stay alone."""
        self._learn(detection)
        if self.model is None or not self.model.knows(detection.camera):
            return OpenTracklet.of(detection)
        here = self.open.setdefault(detection.camera, [])
        home = self._home(detection, here)
        if home is None:
            here.append(OpenVisit.of(detection))
        else:
            home.add(detection)
        return None

    def next_s(self) -> float:
        """The earliest event time at which a visit closes; infinite if none is open."""
        visits = [visit for here in self.open.values() for visit in here]
        return min((self._closes_s(visit) for visit in visits), default=math.inf)

    def close(self, before_s: float) -> list[OpenTracklet]:
        """The visits that are complete at an event time. Single boxes older than the window are
        forgotten."""
        done: list[OpenTracklet] = []
        for camera, visits in list(self.open.items()):
            done += [v.tracklet for v in visits if self._closes_s(v) < before_s]
            self.open[camera] = [v for v in visits if self._closes_s(v) >= before_s]
            if not self.open[camera]:
                del self.open[camera]
        self.sample.expired(before_s - self.settings.window_s, _N_SAMPLE)
        return done

    def cut(self) -> list[OpenTracklet]:
        """All open visits, complete as they are."""
        done = [visit.tracklet for here in self.open.values() for visit in here]
        self.open.clear()
        return done

    def seen_by(self, extractor: str, vectors: Mapping[str, Vector]) -> Visits:
        """The same as another extractor sees it, by detection id: the sample is embedded anew and
        asked again. What is open must be cut before."""
        anew = Visits(self.settings)
        anew.n_until_calibration = self.n_until_calibration
        for box in self.sample.tracklets:
            vector = vectors.get(box.id)
            if vector is not None:
                anew.sample.add(
                    single_box(
                        anew.sample.next,
                        box.camera,
                        box.start_s,
                        vector,
                        extractor,
                        box.id,
                        box.box,
                    ),
                    box.start_s,
                )
        if self.model is not None and len(anew.sample):
            anew.model = anew._fitted()
        return anew

    def _fitted(self) -> BoxModel:
        """What the single boxes of the sample say."""
        longest_s = self.settings.tracklet_max_s
        minutes_s = (longest_s, _NULL_LENGTHS * longest_s)
        return fit_boxes(self.sample, self.settings.visit_gap_s, minutes_s)

    def _closes_s(self, visit: OpenVisit) -> float:
        return min(
            visit.tracklet.end_s + self.settings.visit_gap_s,
            visit.tracklet.start_s + self.settings.tracklet_max_s,
        )

    def _home(self, detection: Detection, visits: list[OpenVisit]) -> OpenVisit | None:
        """The open visit to which a box most probably belongs, if to any."""
        able = [
            visit
            for visit in visits
            if visit.tracklet.extractor == detection.extractor
            and self._closes_s(visit) >= detection.time_s
        ]
        if not able:
            return None
        log_odds = self._log_odds(detection, [box for visit in able for box in visit.newest])
        ends = np.cumsum([len(visit.newest) for visit in able])
        parts = zip(able, np.split(log_odds, ends[:-1]), strict=True)
        means = [_mean_log_odds(part, visit.newest, detection.time_s) for visit, part in parts]
        best = int(np.argmax(means))
        return able[best] if means[best] > 0 else None

    def _log_odds(self, detection: Detection, boxes: list[VisitBox]) -> NDArray[np.float64]:
        """Log odds that a new box shows the person of each of the others, (N,)."""
        assert self.model is not None
        others = np.stack([box.embedding for box in boxes])
        d = distances(detection.embedding[None, :], others)[0].astype(np.float64)
        t = detection.time_s - np.array([box.time_s for box in boxes])
        overlaps = [_overlap(detection, box) for box in boxes]
        same_place = np.array([o is not None and o >= SAME_BOX_IOU for o in overlaps])
        elsewhere = np.array([o is not None and o < SAME_BOX_IOU for o in overlaps])
        found = self.model.log_odds(detection.camera, d, np.where(same_place, _A_MOMENT_S, t))
        return np.where(elsewhere, -np.inf, found)

    def _learn(self, detection: Detection) -> None:
        """Keeps the box in the sample; now and then, the sample is asked anew."""
        sample = self.sample
        single = single_box(
            sample.next,
            detection.camera,
            detection.time_s,
            detection.embedding,
            detection.extractor,
            detection.id,
            detection.box,
        )
        sample.add(single, detection.time_s)
        sample.expired(-math.inf, _N_SAMPLE)
        self.n_until_calibration -= 1
        if self.n_until_calibration <= 0:
            self.model = self._fitted()
            growth = math.ceil(self.settings.calibration_growth * len(sample))
            self.n_until_calibration = max(self.settings.first_calibration // 2, growth)


def single_box(
    number: int,
    camera: str,
    time_s: float,
    embedding: NDArray[np.float32],
    extractor: str,
    detection_id: str,
    box: Box | None,
) -> Tracklet:
    """A box as the sample keeps it."""
    name = (detection_id,)
    return Tracklet(number, camera, time_s, time_s, embedding, extractor, name, box=box)


def _visit_box(detection: Detection) -> VisitBox:
    return VisitBox(detection.embedding, detection.time_s, detection.box)


def _mean_log_odds(log_odds: NDArray[np.float64], boxes: list[VisitBox], time_s: float) -> float:
    """The mean log odds (N,) that a box of that time shows the person of a visit's boxes; minus
    infinity where one of the same moment shows somebody else."""
    at_once = np.array([box.time_s == time_s for box in boxes])
    return -math.inf if (log_odds[at_once] <= 0).any() else float(log_odds.mean())


def _overlap(detection: Detection, other: VisitBox) -> float | None:
    """Intersection over union of two boxes of one frame; None where they are of two frames or the
    camera gives no boxes."""
    if detection.time_s != other.time_s or detection.box is None or other.box is None:
        return None
    return intersection_over_union(detection.box, other.box)
