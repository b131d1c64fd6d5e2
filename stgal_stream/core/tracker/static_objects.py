"""What never moves is no person: a poster, a mannequin, a screen.

A detector that takes one for a person gives it a new track again and again, so it would become many
identities, and what looks like it in other cameras would be joined to them.

A tracklet goes on with a thing that stands still if its boxes stay where that one's were and if
nothing else that the camera has seen looks more like it. After ``static_after_s`` without a gap the
thing is static: its tracklets are one identity, and are compared with nobody. People who sit for
hours move more than a picture does: a mean box of half a minute that overlaps all those before it
by less than nine tenths ends the chain.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from stgal_stream.core.gallery.gallery import Gallery
from stgal_stream.core.measures.boxes import BoxMoments, intersection_over_union
from stgal_stream.core.tracklets.open_tracklet import OpenTracklet
from stgal_stream.settings import TrackerSettings

# How far the sides of one thing's boxes spread in a tracklet, in widths or heights: a detector is
# out by a pixel or two of forty.
_MAX_SPREAD = 0.05
# Mean boxes of one thing: what is left of a detector's jitter is less than a tenth of the area.
_MIN_OVERLAP = 0.9


@dataclass(slots=True, eq=False)
class StillThing:
    """One thing that stands still in a camera: the moments of its boxes, since when and until when
    it was seen, and its tracklets in the window (numbers). ``is_person`` where an operator said
    so."""

    camera: str
    boxes: BoxMoments
    since_s: float
    until_s: float
    numbers: list[int] = field(default_factory=list)
    is_static: bool = False
    is_person: bool = False

    @property
    def is_known(self) -> bool:
        """Whether it is known what it is: no gap changes that."""
        return self.is_static or self.is_person


class StaticObjects:
    """The things of one site that stand still, and which of them are static by now."""

    def __init__(
        self, gallery: Gallery, settings: TrackerSettings, things: Iterable[StillThing] = ()
    ) -> None:
        self._gallery = gallery
        self._after_s = settings.static_after_s
        self._gap_s = settings.tracklet_max_s  # somebody may stand before it for one long tracklet
        self._things: dict[str, list[StillThing]] = {}
        for thing in things:
            self._things.setdefault(thing.camera, []).append(thing)
        self._grown: list[StillThing] = []  # since it was last asked

    def __iter__(self) -> Iterator[StillThing]:
        for things in self._things.values():
            yield from things

    def state(self) -> list[StillThing]:
        """Everything known, to go on from."""
        return list(self)

    @property
    def numbers(self) -> list[int]:
        """The tracklets in the window that are no person."""
        return [n for thing in self if thing.is_static for n in thing.numbers]

    def by_camera(self) -> dict[str, int]:
        """How many static things each camera sees, where it sees any."""
        counts = {name: sum(t.is_static for t in things) for name, things in self._things.items()}
        return {name: n for name, n in sorted(counts.items()) if n}

    def observe(self, number: int, done: OpenTracklet) -> StillThing | None:
        """Takes a tracklet that has settled; the thing that it goes on with or begins, if it stands
        still."""
        if not done.boxes.n or done.boxes.spread > _MAX_SPREAD:
            return None
        thing = self._thing_of(number, done)
        if thing is None:
            thing = StillThing(done.camera, BoxMoments(), done.start_s, done.end_s)
            self._things.setdefault(done.camera, []).append(thing)
        if done.start_s - thing.until_s > self._gap_s:
            thing.since_s = done.start_s
        thing.boxes = thing.boxes + done.boxes
        thing.until_s = max(thing.until_s, done.end_s)
        thing.numbers.append(number)
        if thing not in self._grown:
            self._grown.append(thing)
        return thing

    def newly_static(self) -> list[StillThing]:
        """The things that have stood still for so long that they are no person; each is told once,
        with a tracklet of its own that has just settled."""
        grown, self._grown = self._grown, []
        found = [
            thing
            for thing in grown
            if not thing.is_known
            and thing.until_s - thing.since_s >= self._after_s
            and len(thing.numbers) > 1  # its look was compared at least once
        ]
        for thing in found:
            thing.is_static = True
        return found

    def believe(self, numbers: Iterable[int]) -> list[int]:
        """An operator says that these tracklets are of a person: what was taken for static is one,
        with all its tracklets, which are given."""
        freed: list[int] = []
        for thing in self:
            if not set(thing.numbers).isdisjoint(numbers):
                freed += thing.numbers if thing.is_static else []
                thing.is_static, thing.is_person = False, True
        return freed

    def forget(self, numbers: Collection[int]) -> None:
        """Tracklets are no more."""
        for thing in self:
            thing.numbers = [n for n in thing.numbers if n not in numbers]
        self._keep(lambda thing: bool(thing.numbers))

    def expire(self, at_s: float) -> None:
        """Forgets what has gone: what was seen once after a gap, anything else with its last
        tracklet, since it may come to light again and would then look most like itself."""
        first = self._gallery.first
        # A tracklet settles some time after its end: what goes on with a thing comes late.
        oldest_s = at_s - 3.0 * self._gap_s
        for thing in self:
            if thing.numbers[0] < first:
                thing.numbers = [n for n in thing.numbers if n >= first]
        self._keep(
            lambda t: (
                len(t.numbers) > 1 or (bool(t.numbers) and (t.is_known or t.until_s >= oldest_s))
            )
        )

    def _keep(self, is_kept: Callable[[StillThing], bool]) -> None:
        kept = {name: [*filter(is_kept, things)] for name, things in self._things.items()}
        self._things = {name: things for name, things in kept.items() if things}

    def _thing_of(self, number: int, done: OpenTracklet) -> StillThing | None:
        """The thing that a tracklet goes on with: that in its place, if it looks like it."""
        box = done.boxes.mean
        overlaps = [
            (intersection_over_union(box, thing.boxes.mean), thing)
            for thing in self._things.get(done.camera, ())
        ]
        overlap, thing = max(overlaps, key=lambda found: found[0], default=(0.0, None))
        if thing is None or overlap < _MIN_OVERLAP:
            return None
        return thing if self._most_alike(number, thing) in thing.numbers else None

    def _most_alike(self, number: int, thing: StillThing) -> int:
        """The tracklet of the same camera that looks most like one; things that stand still in
        other places do not count, since two posters can be of one print.

        Looks are compared as they are: a camera that sees little but a poster has that for its
        mean.
        """
        gallery, row = self._gallery, number - self._gallery.first
        place = thing.boxes.mean
        elsewhere = (
            n
            for other in self._things[thing.camera]
            if intersection_over_union(place, other.boxes.mean) == 0.0
            for n in other.numbers
        )
        apart = [number, *elsewhere]
        is_asked = gallery.cameras == gallery.cameras[row]
        is_asked[np.array(apart) - gallery.first] = False
        rows = np.flatnonzero(is_asked)
        looks, mine = gallery.embeddings[rows], gallery.embeddings[row]
        lengths = np.sqrt(np.einsum("nd,nd->n", looks, looks))
        alike = (looks @ mine) / np.maximum(lengths, 1e-12)
        return int(rows[np.argmax(alike)]) + gallery.first
