"""Global identities: groups of tracklets held together by evidence, not by chains.

The laws. Two tracklets that were in one camera at one time never share an identity (cannot-link).
A tracklet joins (unless it continues a camera's own track), and two identities merge, only where
all that is known of the two groups favours one person (``tally``), so that one lucky pair cannot
glue two people; and only where, each as a whole, they do not lie too far apart for one person
(``spread``), so that no look-alike is glued.
An identity keeps its id for life; what it absorbs is renamed to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from stgal_stream.core.calibration import Scores
from stgal_stream.core.mixture import LOG_ODDS_LIMIT
from stgal_stream.core.scorer import Scorer
from stgal_stream.core.tally import Tally
from stgal_stream.core.visual import are_known_negatives

ScoresOf = Callable[[int], Scores]


@dataclass(slots=True)
class Identity:
    """One global identity and its tracklets (numbers) still in the window."""

    global_id: str
    created: int
    members: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An identity (by label) and the log odds, over all pairs, that something belongs to it."""

    label: int
    log_odds: float


class Identities:
    """The identities of one site. A label is an identity's index for as long as it lives."""

    def __init__(self, scorer: Scorer, site: str, *, least_log_odds: float) -> None:
        self._scorer = scorer
        self._gallery = scorer.gallery
        self._site = site
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

    def candidates(self, number: int, scores: Scores) -> list[Candidate]:
        """Identities that a tracklet may belong to, the most probable as a whole first. ``scores``
        are its own, against the first tracklets of the window."""
        labels = self._gallery.labels[: len(scores.times_s)]
        tally = Tally.of(scores, labels, max(self._by_label, default=-1) + 1)
        log_odds = tally.log_odds
        forbidden, own = self.forbidden_to(number), self._scorer.whole([number])
        found = []
        for label in np.flatnonzero(log_odds > self._least).tolist():
            if label in forbidden:
                continue
            other = self._scorer.whole(self._by_label[label].members)
            if self._scorer.are_too_far(own, other):
                continue
            candidate = Candidate(label, float(log_odds[label]))
            by_whole = self._scorer.whole_log_odds(own, other) + float(tally.time[label])
            created = self._by_label[label].created
            found.append(((-by_whole, -candidate.log_odds, created), candidate))
        return [candidate for _, candidate in sorted(found, key=lambda ranked: ranked[0])]

    def create(self, number: int) -> Identity:
        """A new identity of one tracklet. Its id follows from the tracklet alone, so that it is
        the same on every machine and in every replay."""
        return self._create(number, "")

    def part(self, numbers: list[int]) -> tuple[Identity, Identity]:
        """Parts tracklets of one identity from it: the one they left, and a new one of theirs."""
        left = self.of(numbers[0])
        left.members = sorted(set(left.members) - set(numbers))
        # The first of them may have founded an identity before, under its own name.
        identity = self._create(numbers[0], f"\x00{self._n_created}")
        label = self.label_of(numbers[0])
        for number in numbers[1:]:
            self.join(number, label)
        return left, identity

    def _create(self, number: int, suffix: str) -> Identity:
        founder = self._gallery[number]
        name = f"{self._site}\x00{founder.id}\x00{founder.start_s!r}{suffix}".encode()
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

    def are_one(self, first: int, second: int, scores: ScoresOf) -> bool:
        """Whether all that is known of two identities makes them one person. ``scores(number)``
        are a tracklet's against the whole window."""
        if self.are_apart(first, second):
            return False
        small, large = self._by_label[first], self._by_label[second]
        if len(small.members) > len(large.members):
            small, large = large, small
        chosen = np.full(len(self._gallery), -1)
        chosen[np.array(large.members) - self._gallery.first] = 0
        tally = Tally.of(scores(small.members[0]), chosen, 1)
        for number in small.members[1:]:
            tally.add(Tally.of(scores(number), chosen, 1))
        return bool(tally.log_odds[0] > self._least)

    def agree(self, first: int, second: int, log_time: float) -> bool:
        """Whether two identities (by label), each as a whole, favour one person, with what time
        says."""
        one, other = (self._scorer.whole(self._by_label[i].members) for i in (first, second))
        found = min(self._scorer.whole_log_odds(one, other), LOG_ODDS_LIMIT)
        return found + log_time > self._least

    def are_apart(self, first: int, second: int) -> bool:
        """Whether two identities (by label) were seen in one camera at one time, or lie too far
        apart for one person."""
        one, other = (self._by_label[label].members for label in (first, second))
        if self._scorer.are_too_far(self._scorer.whole(one), self._scorer.whole(other)):
            return True
        others = set(other)
        return any(
            are_known_negatives(self._gallery[i], self._gallery[j])
            for i in one
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
            if are_known_negatives(gallery[number], gallery[other])
        }
