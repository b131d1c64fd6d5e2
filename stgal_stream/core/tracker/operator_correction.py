"""An operator's correction, obeyed by a site's window.

Law: identities follow at once, and what was said holds against all that follows. Pseudo-pairs
follow with the next calibration.
"""

from __future__ import annotations

from collections.abc import Iterable

from stgal_stream.core.gallery.gallery import Gallery
from stgal_stream.core.tracker.window import AssociationWindow
from stgal_stream.types import CorrectionEvent, Event, OperatorCorrection, Verdict

_MAX_CONSTRAINTS = 2000  # each is asked at every decision; they end with what they speak of


def obey(window: AssociationWindow, correction: OperatorCorrection, at_s: float) -> list[Event]:
    """The changes that a correction brings at an event time, and what became of it."""
    first, second = (
        numbers_of(ids, window.gallery) for ids in (correction.first, correction.second)
    )
    refused = _refusal(window, correction, first, second)
    if refused is not None:
        return [CorrectionEvent(at_s, correction, refused)]
    told = at_s, correction.id
    if correction.verdict == Verdict.SAME:
        numbers = sorted({*first, *second})
        window.believe_people(numbers)
        events = window.resolver.unite(numbers, *told)
    else:
        events = window.resolver.part(first, second, *told)
    return [*events, CorrectionEvent(at_s, correction)]


def numbers_of(detection_ids: Iterable[str], gallery: Gallery) -> list[int]:
    """The tracklets in the window that hold any of these detections, by number."""
    wanted = set(detection_ids)
    return [t.number for t in gallery.tracklets if not wanted.isdisjoint(t.detection_ids)]


def _refusal(
    window: AssociationWindow, correction: OperatorCorrection, first: list[int], second: list[int]
) -> str | None:
    """Why a correction cannot be obeyed, if it cannot."""
    for numbers, ids in ((first, correction.first), (second, correction.second)):
        if not numbers:
            return f"nothing of {ids[0]!r} and what was named with it is in the window"
    if correction.verdict == Verdict.DIFFERENT and not set(first).isdisjoint(second):
        return "a sighting stands on both sides"
    if len(window.resolver.constraints) >= _MAX_CONSTRAINTS:
        return f"{_MAX_CONSTRAINTS:,} corrections are in force already"
    return None
