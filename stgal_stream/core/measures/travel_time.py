"""Travel time: how long somebody was out of view between two tracklets.

The definition: seconds from the end of the earlier tracklet to the start of the later one; 0 where
both were in view at one time. Between two cameras, a tracklet that continues a longer track counts
from that track's start: long tracks are cut, and a person who is in two views at once does not
travel to the parts of a track that began before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgal_stream.types import Floats, Tracklet


@dataclass(frozen=True, slots=True)
class Spans:
    """When some tracklets were in view, arrays of one shape: their camera (any codes that can be
    compared), their start, the start of their whole track, and their end, in seconds."""

    camera: NDArray[np.int64]
    start_s: Floats
    track_start_s: Floats
    end_s: Floats

    def __getitem__(self, at: Any) -> Spans:
        """Some of them; any index of numpy, ``None`` included, as in ``spans[:, None]``."""
        columns = (self.camera, self.start_s, self.track_start_s, self.end_s)
        return Spans(*(column[at] for column in columns))

    @classmethod
    def joined(cls, parts: Sequence[Spans]) -> Spans:
        """Those of all parts, one after the other."""
        names = ("camera", "start_s", "track_start_s", "end_s")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def __len__(self) -> int:
        return len(self.start_s)


def travel_times_s(first: Spans, second: Spans) -> Floats:
    """Travel times of pairs, elementwise over shapes that broadcast: of ``a[:, None]`` and
    ``b[None, :]`` they are (A, B)."""
    starts, others = first.track_start_s, second.track_start_s
    if (starts != first.start_s).any() or (others != second.start_s).any():
        within = first.camera == second.camera
        starts = np.where(within, first.start_s, starts)
        others = np.where(within, second.start_s, others)
    return gaps_s(starts, first.end_s, others, second.end_s)


def travel_time_s(first: Tracklet, second: Tracklet) -> float:
    """The travel time of one pair, in seconds."""
    if first.camera == second.camera:
        return max(0.0, second.start_s - first.end_s, first.start_s - second.end_s)
    return max(0.0, second.in_view_from_s - first.end_s, first.in_view_from_s - second.end_s)


def gaps_s(starts: Floats, ends: Floats, other_starts: Floats, other_ends: Floats) -> Floats:
    """Seconds between two intervals, 0 where they overlap, over shapes that broadcast."""
    times: Floats = np.maximum(other_starts - ends, starts - other_ends)
    return np.maximum(times, 0.0)
