"""Operators' corrections, and who is who as somebody knows it who reads events alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stgal_stream.types import Event, IdentityEvent, OperatorCorrection, Verdict


def said(
    name: str, verdict: Verdict, first: Iterable[str], second: Iterable[str]
) -> OperatorCorrection:
    return OperatorCorrection(name, verdict, tuple(first), tuple(second), "tests", 1e9)


class Reader:
    """Whose each tracklet (by id) is, after the events that were read."""

    def __init__(self) -> None:
        self.identity: dict[str, str] = {}

    def read(self, events: Iterable[Event]) -> None:
        for event in events:
            if not isinstance(event, IdentityEvent) or event.kind == "ended":
                continue
            if event.tracklet is not None:
                self.identity[event.tracklet.id] = event.global_id
                continue
            for name, identity in self.identity.items():
                if identity == event.from_id:
                    self.identity[name] = event.global_id

    def obeys(self, correction: OperatorCorrection) -> bool:
        """Whether a correction of tracklets holds."""
        return holds(correction, self.identity)


def holds(correction: OperatorCorrection, identity: Mapping[str, str]) -> bool:
    """Whether a correction holds, where ``identity`` tells whose each tracklet is."""
    first, second = ({identity[n] for n in ns} for ns in (correction.first, correction.second))
    if correction.verdict == Verdict.SAME:
        return len(first | second) == 1
    return first.isdisjoint(second)


class Words:
    """Corrections that do not contradict each other: two groups are linked, or apart."""

    def __init__(self) -> None:
        self._group: dict[str, set[str]] = {}
        self._apart: list[tuple[str, str]] = []

    def may_say(self, verdict: Verdict, first: str, second: str, known: set[str]) -> bool:
        """Whether this agrees with all that was said, and all that it bears on is still ``known``;
        if so, it is said."""
        one, other = (self._group.setdefault(name, {name}) for name in (first, second))
        if not one | other <= known:
            return False
        if verdict == Verdict.DIFFERENT:
            if one is other:
                return False
            self._apart.append((first, second))
            return True
        if any(
            {id(self._group[a]), id(self._group[b])} == {id(one), id(other)} and one is not other
            for a, b in self._apart
        ):
            return False
        joined = one | other
        for name in joined:
            self._group[name] = joined
        return True
