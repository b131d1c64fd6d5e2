"""Long tracks are cut into tracklets: which one is the newest of each camera's track."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container, Mapping
from types import MappingProxyType

from stgal_stream.core.tracklets.builder import TrackKey

_NONE: Mapping[TrackKey, int] = MappingProxyType({})


class CutTracks:
    """The number of each track's newest tracklet in the window."""

    def __init__(self, newest: Mapping[TrackKey, int] = _NONE) -> None:
        # The lowest number first, so that what leaves the window is found at the front.
        self._newest = OrderedDict(sorted(newest.items(), key=lambda entry: entry[1]))

    def newest(self, camera: str, track_id: str | None) -> int | None:
        """The newest tracklet of a track; None where there is none, or it has no id."""
        return None if track_id is None else self._newest.get((camera, track_id))

    def add(self, camera: str, track_id: str | None, number: int) -> None:
        """Takes note of a tracklet, newer than all before it."""
        if track_id is not None:
            self._newest[camera, track_id] = number
            self._newest.move_to_end((camera, track_id))

    def expire(self, first: int) -> None:
        """Tracklets before a number have left the window."""
        while self._newest and next(iter(self._newest.values())) < first:
            self._newest.popitem(last=False)

    def forget(self, numbers: Container[int]) -> None:
        """What follows those tracklets does not continue them."""
        for key in [key for key, number in self._newest.items() if number in numbers]:
            del self._newest[key]

    def state(self) -> dict[TrackKey, int]:
        """All that is known, to go on from."""
        return dict(self._newest)
