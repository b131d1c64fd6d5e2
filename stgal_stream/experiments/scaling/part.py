"""One part of a city through the tracker that a site has, and what it cost."""

from __future__ import annotations

import time
from dataclasses import dataclass

import msgspec
import numpy as np

from stgal_stream.core.tracker.site_tracker import SiteTracker
from stgal_stream.experiments.scaling.city import Sightings
from stgal_stream.experiments.scaling.hand_over import NOBODY
from stgal_stream.settings import TrackerSettings
from stgal_stream.types import Detection, IdentityEvent, Integers
from stgal_stream.wire.events import encode_identity
from stgal_stream.wire.mapping import Mapping

_START_S = 1_700_000_000.0


@dataclass(frozen=True, slots=True)
class Tracked:
    """The identity's number of each sighting, (N,), the CPU seconds that it took, and the most
    tracklets that the window held."""

    identity: Integers
    cpu_s: float
    largest_window: int


def track(seen: Sightings, window_s: float) -> Tracked:
    """Sightings, each of two detections, through a tracker; their identities after all renames."""
    settings = TrackerSettings(window_s=window_s, max_tracklets=1_000_000, max_cameras=1_000_000)
    tracker, said, largest = SiteTracker("part", settings), [], 0
    detections = _detections(seen)
    started = time.process_time()
    for detection in detections:
        said += [e for e in tracker.observe(detection) if isinstance(e, IdentityEvent)]
        largest = max(largest, len(tracker.window.gallery))
    said += [e for e in tracker.close() if isinstance(e, IdentityEvent)]
    cpu_s = time.process_time() - started
    return Tracked(_identities(said, len(seen)), cpu_s, largest)


def _detections(seen: Sightings) -> list[Detection]:
    times_s = np.stack([seen.start_s, seen.end_s], axis=1) + _START_S
    found = [
        Detection(f"{row}-{k}", f"c{camera}", float(at_s), look, "simulated", str(row))
        for row, (camera, look) in enumerate(zip(seen.camera.tolist(), seen.looks, strict=True))
        for k, at_s in enumerate(times_s[row])
    ]
    return sorted(found, key=lambda detection: detection.time_s)


def _identities(said: list[IdentityEvent], n: int) -> Integers:
    mapping = Mapping()
    for event in said:
        mapping.take(msgspec.json.decode(encode_identity("part", event)))
    found, numbers = np.full(n, NOBODY), dict[str, int]()
    for row in mapping:
        name = numbers.setdefault(row.global_id, len(numbers))
        found[int(row.detection_id.partition("-")[0])] = name
    return found
