"""Which tracklet is of which global identity.

Laws. An identity keeps its id for life; what it absorbs is renamed to it. Ids follow from content,
so they are the same on every machine and in every replay. Nothing is decided here: see ``rules``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from stgal_stream.core.gallery.gallery import Gallery


@dataclass(slots=True)
class Identity:
    """One global identity and its tracklets (numbers) still in the window; ``created`` orders
    identities by age."""

    global_id: str
    created: int
    members: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RegistryState:
    """All that an ``IdentityRegistry`` knows."""

    by_slot: dict[int, Identity]
    free: list[int]
    n_created: int


class IdentityRegistry:
    """The identities of one site. A slot is an identity's index for as long as it lives."""

    def __init__(self, gallery: Gallery, site: str) -> None:
        self._gallery = gallery
        self._site = site
        self._by_slot: dict[int, Identity] = {}
        self._free: list[int] = []
        self._n_created = 0

    def __len__(self) -> int:
        return len(self._by_slot)

    def __getitem__(self, slot: int) -> Identity:
        return self._by_slot[slot]

    def __contains__(self, slot: int) -> bool:
        return slot in self._by_slot

    @property
    def slots(self) -> list[int]:
        """The slots of all identities, oldest identity first."""
        return sorted(self._by_slot, key=lambda slot: self._by_slot[slot].created)

    @property
    def n_slots(self) -> int:
        """How many slots there are, in use or free: all are below that."""
        return len(self._by_slot) + len(self._free)

    def slot_of(self, number: int) -> int:
        """The slot of a tracklet in the window."""
        return int(self._gallery.slots[number - self._gallery.first])

    def of(self, number: int) -> Identity:
        """The identity of a tracklet in the window."""
        return self._by_slot[self.slot_of(number)]

    def create(self, number: int) -> Identity:
        """A new identity of one tracklet; its id follows from the tracklet alone."""
        return self._create(number, "")

    def join(self, number: int, slot: int) -> Identity:
        """Puts a tracklet into an identity."""
        self._gallery.assign(number, slot)
        identity = self._by_slot[slot]
        identity.members.append(number)
        return identity

    def merge(self, first: int, second: int) -> tuple[int, Identity, Identity]:
        """Merges two identities (slots) into the older one: its slot, itself, and what was
        absorbed."""
        if self._by_slot[second].created < self._by_slot[first].created:
            first, second = second, first
        kept, absorbed = self._by_slot[first], self._by_slot.pop(second)
        self._free.append(second)
        for number in absorbed.members:
            self._gallery.assign(number, first)
        kept.members = sorted(kept.members + absorbed.members)
        return first, kept, absorbed

    def move(self, number: int, slot: int) -> Identity:
        """Moves one tracklet out of an identity of several into another; the one it left."""
        left = self.of(number)
        left.members.remove(number)
        self.join(number, slot)
        return left

    def split(self, numbers: list[int], at_s: float, cause: str = "") -> tuple[Identity, Identity]:
        """Splits tracklets off their identity at an event time: the one they left, which ends where
        none is left in the window, and a new one of theirs. ``cause`` tells two splits of one time
        apart."""
        left, before = self.of(numbers[0]), self.slot_of(numbers[0])
        left.members = sorted(set(left.members) - set(numbers))
        # The first of them may have founded an identity before, under its own name.
        identity = self._create(numbers[0], f"\x00{at_s!r}" + (cause and f"\x00{cause}"))
        slot = self.slot_of(numbers[0])
        for number in numbers[1:]:
            self.join(number, slot)
        if not left.members:
            del self._by_slot[before]
            self._free.append(before)
        return left, identity

    def expire(self, numbers_and_slots: Iterable[tuple[int, int]]) -> list[Identity]:
        """Forgets tracklets that left the window; the identities that end with them."""
        ended = []
        for number, slot in numbers_and_slots:
            identity = self._by_slot[slot]
            identity.members.remove(number)
            if not identity.members:
                ended.append(self._by_slot.pop(slot))
                self._free.append(slot)
        return ended

    def state(self) -> RegistryState:
        """Everything known, to go on from."""
        return RegistryState(self._by_slot, self._free, self._n_created)

    def restore(self, state: RegistryState) -> None:
        """Goes on from ``state``; the gallery knows the tracklets' slots already."""
        self._by_slot, self._free = dict(state.by_slot), list(state.free)
        self._n_created = state.n_created

    def _create(self, number: int, suffix: str) -> Identity:
        founder = self._gallery[number]
        name = f"{self._site}\x00{founder.id}\x00{founder.start_s!r}{suffix}".encode()
        identity = Identity(hashlib.blake2b(name, digest_size=8).hexdigest(), self._n_created)
        self._n_created += 1
        slot = self._free.pop() if self._free else len(self._by_slot)
        assert slot not in self._by_slot
        self._by_slot[slot] = identity
        self.join(number, slot)
        return identity
