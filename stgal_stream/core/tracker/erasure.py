"""One person, forgotten by a site's tracker.

Law: the others stay who they are. Of the person's tracklets only that somebody was in a camera at a
time is left, until they leave the window. What was learned from many people stays.
"""

from __future__ import annotations

from stgal_stream.core.tracker.operator_correction import numbers_of
from stgal_stream.core.tracker.window import AssociationWindow
from stgal_stream.core.tracklets.builder import TrackletBuilder
from stgal_stream.types import Erasure, Event, IdentityEvent


def erase(
    window: AssociationWindow, builder: TrackletBuilder, erasure: Erasure, at_s: float
) -> list[Event]:
    """Forgets what is of one person; says so of each identity that was named, be it in the window
    or not."""
    registry, named = window.identities, set(erasure.identities)
    numbers = set(numbers_of(erasure.detections, window.gallery))
    for slot in registry.slots:
        if registry[slot].global_id in named:
            numbers.update(registry[slot].members)
    theirs = {name for number in numbers for name in window.gallery[number].detection_ids}
    builder.forget(theirs.union(erasure.detections))
    told = window.erase(sorted(numbers), at_s)
    others = [e for e in told if not (isinstance(e, IdentityEvent) and e.global_id in named)]
    return [*(IdentityEvent("erased", at_s, name) for name in erasure.identities), *others]
