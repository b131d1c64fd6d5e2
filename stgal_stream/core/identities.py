"""Global identities: groups of tracklets held together by evidence, not by chains.

The laws. Two tracklets that were in one camera at one time never share an identity (cannot-link).
A tracklet joins, and two identities merge, only where the mean log posterior odds over *all* pairs
of the two groups favour one person: average linkage, so that one lucky pair cannot glue two people.
An identity keeps its id for life; what it absorbs is renamed to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stgal_stream.core.gallery import Gallery
from stgal_stream.types import Tracklet

CannotLink = Callable[[Tracklet, Tracklet], bool]
Odds = Callable[[int], NDArray[np.float64]]


@dataclass(slots=True)
class Identity:
    """One global identity and its tracklets (numbers) still in the window."""

    global_id: str
    created: int
    members: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An identity (by label) and the mean log odds that something belongs to it."""

    label: int
    mean_log_odds: float


class Identities:
    """The identities of one site. A label is an identity's index for as long as it lives."""

    def __init__(
        self, gallery: Gallery, site: str, cannot_link: CannotLink, *, least_log_odds: float
    ) -> None:
        self._gallery = gallery
        self._site = site
        self._cannot_link = cannot_link
        self._least = least_log_odds
        self._by_label: dict[int, Identity] = {}
        self._free: list[int] = []
        self._n_created = 0

    def __len__(self) -> int:
        return len(self._by_label)

    def __getitem__(self, label: int) -> Identity:
        return self._by_label[label]

    def dump(self) -> tuple[list[tuple[int, str, int, list[int]]], list[int], int]:
        """Labels with their identities, free labels and the number created, for a snapshot."""
        rows = [(i, x.global_id, x.created, x.members) for i, x in self._by_label.items()]
        return rows, self._free, self._n_created

    def load(self, by_label: dict[int, Identity], free: list[int], n_created: int) -> None:
        """Takes back what ``dump`` gave."""
        self._by_label, self._free, self._n_created = by_label, free, n_created

    def of(self, number: int) -> Identity:
        """The identity of a tracklet in the window."""
        return self._by_label[self.label_of(number)]

    def label_of(self, number: int) -> int:
        """The label of a tracklet in the window."""
        return int(self._gallery.labels[number - self._gallery.first])

    @property
    def labels(self) -> list[int]:
        """The labels of all identities, oldest identity first."""
        return sorted(self._by_label, key=lambda label: self._by_label[label].created)

    def candidates(self, number: int, log_odds: NDArray[np.float64]) -> list[Candidate]:
        """Identities that a tracklet may belong to, the most probable first.

        ``log_odds`` (M,) are against the first M tracklets of the window, NaN where nothing is
        known of the camera pair.
        """
        labels = self._gallery.labels[: len(log_odds)]
        known = np.isfinite(log_odds) & (labels >= 0)
        known &= np.arange(len(log_odds)) != number - self._gallery.first
        room = max(self._by_label, default=-1) + 1
        n = np.bincount(labels[known], minlength=room)
        total = np.bincount(labels[known], log_odds[known], minlength=room)
        hopeful = np.flatnonzero((n > 0) & (total > self._least * n))
        found = [Candidate(int(i), float(total[i] / n[i])) for i in hopeful]
        forbidden = self.forbidden_to(number)
        found = [c for c in found if c.label not in forbidden]
        return sorted(found, key=lambda c: (-c.mean_log_odds, self._by_label[c.label].created))

    def create(self, number: int) -> Identity:
        """A new identity of one tracklet. Its id follows from the tracklet alone, so that it is
        the same on every machine and in every replay."""
        founder = self._gallery[number]
        name = f"{self._site}\x00{founder.id}\x00{founder.start_s!r}".encode()
        identity = Identity(hashlib.blake2b(name, digest_size=8).hexdigest(), self._n_created)
        self._n_created += 1
        label = self._free.pop() if self._free else len(self._by_label)
        assert label not in self._by_label
        self._by_label[label] = identity
        self.join(number, label)
        return identity

    def join(self, number: int, label: int) -> Identity:
        """Puts a tracklet that has no identity into one."""
        self._gallery.labels[number - self._gallery.first] = label
        identity = self._by_label[label]
        identity.members.append(number)
        return identity

    def merge(self, first: int, second: int) -> tuple[int, Identity, Identity]:
        """Merges two identities into the older one: its label, itself, and what was absorbed."""
        if self._by_label[second].created < self._by_label[first].created:
            first, second = second, first
        kept, absorbed = self._by_label[first], self._by_label.pop(second)
        self._free.append(second)
        for number in absorbed.members:
            self._gallery.labels[number - self._gallery.first] = first
        kept.members = sorted(kept.members + absorbed.members)
        return first, kept, absorbed

    def move(self, number: int, label: int) -> Identity:
        """Moves one tracklet out of an identity of several into another; the one it left."""
        left = self.of(number)
        left.members.remove(number)
        self.join(number, label)
        return left

    def expire(self, numbers_and_labels: Iterable[tuple[int, int]]) -> list[Identity]:
        """Forgets tracklets that left the window; the identities that end with them."""
        ended = []
        for number, label in numbers_and_labels:
            identity = self._by_label[label]
            identity.members.remove(number)
            if not identity.members:
                ended.append(self._by_label.pop(label))
                self._free.append(label)
        return ended

    def linkage(self, first: int, second: int, odds: Odds) -> float | None:
        """The mean log odds over all pairs of two identities; None where none is known or they
        cannot be one person. ``odds(number)`` are those against the whole window, (N,)."""
        if self.are_apart(first, second):
            return None
        small, large = self._by_label[first], self._by_label[second]
        if len(small.members) > len(large.members):
            small, large = large, small
        rows = np.array(large.members) - self._gallery.first
        values = np.concatenate([odds(number)[rows] for number in small.members])
        values = values[np.isfinite(values)]
        return float(values.mean()) if values.size else None

    def are_apart(self, first: int, second: int) -> bool:
        """Whether two identities (by label) were seen in one camera at one time."""
        members = self._by_label[first].members
        others = set(self._by_label[second].members)
        return any(
            self._cannot_link(self._gallery[i], self._gallery[j])
            for i in members
            for j in self._near(i) & others
        )

    def _near(self, number: int) -> set[int]:
        """Numbers of the tracklets that were in the same camera at the same time."""
        gallery = self._gallery
        tracklet = gallery[number]
        rows = np.flatnonzero(
            (gallery.starts_s <= tracklet.end_s)
            & (gallery.ends_s >= tracklet.start_s)
            & (gallery.cameras == gallery.camera_index(tracklet.camera))
        )
        return {int(r) + gallery.first for r in rows} - {number}

    def forbidden_to(self, number: int) -> set[int]:
        """Labels of the identities that a tracklet cannot be of."""
        gallery = self._gallery
        return {
            self.label_of(other)
            for other in self._near(number)
            if self._cannot_link(gallery[number], gallery[other])
        }
