"""Constraints: what operators said of who is who (must-link and cannot-link, as in constrained
clustering).

Laws. The newest word holds: what contradicts it is forgotten. Nothing parts what is linked, and
nothing joins what is apart. A word outlives its tracklets: those that have left the window stay
what they were, so it holds for the identities that they were of, for as long as those live.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from stgal_stream.core.identities.registry import IdentityRegistry


@dataclass(slots=True)
class Group:
    """Tracklets that an operator named: those in the window (numbers), and the slots of the
    identities of which those were that have left it."""

    numbers: list[int]
    slots: list[int] = field(default_factory=list)

    def expire(self, number: int, slot: int) -> None:
        """A tracklet leaves the window, and was of this identity."""
        if number in self.numbers:
            self.numbers.remove(number)
            self.slots = sorted({*self.slots, slot})


@dataclass(slots=True)
class CannotLink:
    """No identity holds one of each group."""

    first: Group
    second: Group

    @property
    def sides(self) -> tuple[tuple[Group, Group], tuple[Group, Group]]:
        """Each group beside the other one."""
        return (self.first, self.second), (self.second, self.first)


@dataclass(frozen=True, slots=True)
class ConstraintsState:
    """All that ``Constraints`` know."""

    must_links: list[Group]
    cannot_links: list[CannotLink]


class Constraints:
    """Of the tracklets and identities of one registry."""

    def __init__(self, registry: IdentityRegistry) -> None:
        self._registry = registry
        self._must_links: list[Group] = []
        self._cannot_links: list[CannotLink] = []
        self._apart: dict[int, list[Group]] | None = None  # by tracklet, of the cannot-links

    def __len__(self) -> int:
        return len(self._must_links) + len(self._cannot_links)

    # --- what holds --------------------------------------------------------------------------

    def is_linked(self, number: int) -> bool:
        """Whether an operator said of which person a tracklet is."""
        return any(number in group.numbers for group in self._must_links)

    def linked(self, slot: int) -> list[list[int]]:
        """Tracklets of an identity that stay together, each in one group; those anchored to it are
        one."""
        members = set(self._registry[slot].members)
        free = (group.numbers for group in self._must_links if slot not in group.slots)
        found = (sorted(members.intersection(numbers)) for numbers in free)
        anchored = self.anchored(slot)
        return [*filter(None, found), *([anchored] if anchored else [])]

    def anchored(self, slot: int) -> list[int]:
        """Tracklets that stay in an identity: they are linked to such that have left the window."""
        return sorted(
            {n for group in self._must_links if slot in group.slots for n in group.numbers}
        )

    def remembers(self, slot: int) -> bool:
        """Whether an identity is somebody's who has left the window, and whom others are not."""
        return any(slot in (*link.first.slots, *link.second.slots) for link in self._cannot_links)

    def are_apart(self, first: int, second: int) -> bool:
        """Whether two identities (slots) are two people."""
        return any(
            first in self._slots(one) and second in self._slots(other)
            for link in self._cannot_links
            for one, other in link.sides
        )

    def forbidden_to(self, number: int) -> set[int]:
        """Slots of the identities that a tracklet is not of."""
        return {slot for group in self._apart_from(number) for slot in self._slots(group)}

    def strangers(self, number: int) -> set[int]:
        """Tracklets in the window that are other people than one."""
        return {stranger for group in self._apart_from(number) for stranger in group.numbers}

    def _apart_from(self, number: int) -> list[Group]:
        """The groups of which a tracklet is not."""
        if self._apart is None:
            self._apart = {}
            for link in self._cannot_links:
                for one, other in link.sides:
                    for each in one.numbers:
                        self._apart.setdefault(each, []).append(other)
        return self._apart.get(number, [])

    def _slots(self, group: Group) -> set[int]:
        return {self._registry.slot_of(number) for number in group.numbers} | set(group.slots)

    # --- what is said ------------------------------------------------------------------------

    def unite(self, numbers: Sequence[int]) -> None:
        """These tracklets, which are of one identity by now, are one person."""
        own = self._registry.slot_of(numbers[0])
        group, slots, kept = set(numbers), set[int](), []
        for known in self._must_links:
            if group.isdisjoint(known.numbers):
                kept.append(known)
            else:
                group.update(known.numbers)
                slots.update(known.slots)
        self._must_links = [*kept, Group(sorted(group), sorted(slots))]
        self._cannot_links = [
            link
            for link in self._cannot_links
            if not (own in self._slots(link.first) and own in self._slots(link.second))
        ]
        self._apart = None

    def part(self, first: Sequence[int], second: Sequence[int]) -> None:
        """Nobody of the first tracklets is in the second ones. Of tracklets that were said to be
        one person with both, nothing is known any more."""
        kept = []
        named = (g for g in self._must_links if not set(first).isdisjoint(g.numbers))
        of_first = {slot for group in named for slot in group.slots}
        for group in self._must_links:
            parts = [[n for n in group.numbers if n in side] for side in (first, second)]
            if all(parts):
                kept += [Group(part) for part in parts]
                continue
            if parts[1]:  # what has left the window is of the first's person
                group.slots = [slot for slot in group.slots if slot not in of_first]
            kept.append(group)
        self._must_links = kept
        link = CannotLink(Group(sorted(first)), Group(sorted(second)))
        if link not in self._cannot_links:
            self._cannot_links.append(link)
        self._forget()

    # --- what happens ------------------------------------------------------------------------

    def expire(self, number: int, slot: int) -> None:
        """A tracklet leaves the window, and was of this identity."""
        for group in self._groups():
            group.expire(number, slot)
        self._forget()

    def merge(self, into: int, gone: int) -> None:
        """An identity (slot) was merged into another."""
        for group in self._groups():
            group.slots = sorted({into if slot == gone else slot for slot in group.slots})

    def end(self, slot: int) -> None:
        """An identity is no more; its slot is free for another."""
        for group in self._groups():
            group.slots = [known for known in group.slots if known != slot]
        self._forget()

    def _groups(self) -> Iterator[Group]:
        yield from self._must_links
        for link in self._cannot_links:
            yield link.first
            yield link.second

    def _forget(self) -> None:
        """Words that bind nothing any more."""
        self._must_links = [
            group
            for group in self._must_links
            if group.numbers and len(group.numbers) + len(group.slots) > 1
        ]
        self._cannot_links = [
            link
            for link in self._cannot_links
            if all(group.numbers or group.slots for group in (link.first, link.second))
        ]
        self._apart = None

    # --- snapshots ---------------------------------------------------------------------------

    def state(self) -> ConstraintsState:
        """Everything known, to go on from."""
        return ConstraintsState(self._must_links, self._cannot_links)

    def restore(self, state: ConstraintsState) -> None:
        """Goes on from ``state``."""
        self._must_links = list(state.must_links)
        self._cannot_links = list(state.cannot_links)
        self._apart = None
