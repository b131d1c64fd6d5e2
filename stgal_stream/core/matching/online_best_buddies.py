"""IBBS kept up to date while tracklets come and go.

Law: after every ``settle`` the accepted pairs are those of ``measures.best_buddies`` on the members
present, over every ordered pair of cameras, (a, a) too. P_a of 0 is never accepted, and ties go to
the tracklet that settled first.

What makes it cheap is the closed form: with top(g) the best partner of g in a, (q, g) is accepted
iff top(g) = q and no g' of b with top(g') != q is more probable for q than g. So each member only
needs the head of its ranking of each camera; a head that runs out is read again from ``row``.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from stgal_stream.types import Floats, Integers, Pair

_HEAD = 8  # partners kept of a ranking: more cost at every arrival, fewer are read again more often
Row = Callable[[int, int], tuple[Integers, Floats]]
Entry = tuple[float, int]  # (-P_a, member): sorts as the reference ranks


@dataclass(frozen=True, slots=True)
class MemberState:
    """A member, its camera, and by other camera the head of its ranking and its worst entry."""

    member: int
    camera: int
    heads: list[tuple[int, list[Entry], Entry | None]]


class _Head:
    """The most probable partners of one member in one camera, best first.

    Everything that ranks above ``worst`` is in it; where ``worst`` is None, everything is.
    """

    __slots__ = ("entries", "worst")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.worst: Entry | None = None

    def take(self, entry: Entry, keep: int) -> Entry | None:
        """Adds the entry if it belongs to the head, and gives the one that has no room."""
        if self.worst is not None and entry > self.worst:
            return entry
        insort(self.entries, entry)
        if len(self.entries) <= keep:
            return None
        dropped = self.entries.pop()
        self.worst = self.entries[-1]
        return dropped


class _Floors:
    """The P_a under which a partner cannot enter a ranking's head: (member, camera) -> value."""

    def __init__(self) -> None:
        self._first = 0
        self._values = np.zeros((0, 0))

    def of(self, members: Integers, camera: int) -> Floats:
        """Floors of many members over one camera."""
        if not members.size:
            return np.zeros(0)
        self._reach(int(members.min()), int(members.max()), camera)
        floors: Floats = self._values[members - self._first, camera]
        return floors

    def set(self, member: int, camera: int, value: float) -> None:
        self._reach(member, member, camera)
        self._values[member - self._first, camera] = value

    def clear(self, member: int) -> None:
        """Every partner can enter again; what lies before the member is forgotten in time."""
        if self._first <= member < self._first + len(self._values):
            self._values[member - self._first] = 0.0

    def _reach(self, low: int, high: int, camera: int) -> None:
        """Makes room; rows grow by half, so that the copy is paid for by the members."""
        n, n_cameras = self._values.shape
        if low >= self._first and high < self._first + n and camera < n_cameras:
            return
        used = np.flatnonzero(self._values.any(axis=1)) if n else np.zeros(0, np.int64)
        first = min([low, *(used[:1] + self._first).tolist()])
        last = max([high, *(used[-1:] + self._first).tolist()])
        room = int((last - first + 1) * 1.5) + 64
        values = np.zeros((room, max(n_cameras, camera + 1)))
        if used.size:
            start = int(used[0]) + self._first - first
            values[start : start + used[-1] - used[0] + 1, :n_cameras] = self._values[
                used[0] : used[-1] + 1
            ]
        self._first, self._values = first, values


class OnlineBestBuddies:
    """Accepted pairs over a changing set of members.

    Members are numbers in order of settlement (ties go to the lower), cameras are small numbers.
    ``row(member, camera)`` gives the numbers and P_a of all members of that camera, the member
    itself aside; it is asked only when a ranking's head runs out.
    """

    def __init__(self, row: Row, *, keep: int = _HEAD) -> None:
        self._row = row
        self._keep = keep
        self._camera: dict[int, int] = {}
        self._heads: dict[int, dict[int, _Head]] = {}
        self._holders: dict[int, set[int]] = {}
        self._accepted: dict[tuple[int, int], tuple[int, ...]] = {}
        self._votes: dict[Pair, int] = {}
        self._dirty: set[tuple[int, int]] = set()
        self._floors = _Floors()

    def __len__(self) -> int:
        return len(self._camera)

    @property
    def accepted(self) -> set[Pair]:
        """The pairs (i, j), i < j, accepted at the last ``settle``."""
        return set(self._votes)

    def best(self, member: int, camera: int) -> list[Entry]:
        """The head of a ranking: (-P_a, partner), best first."""
        return self._head(member, camera).entries

    def insert(
        self,
        member: int,
        camera: int,
        others: Integers,
        cameras: Integers,
        values: Floats,
    ) -> None:
        """Adds a member with its P_a to the members already there (three arrays of one length);
        others have a P_a of 0."""
        self._camera[member] = camera
        self._heads[member] = {}
        positive = np.flatnonzero(values > 0)
        others, cameras, values = others[positive], cameras[positive], values[positive]
        for other_camera in np.unique(cameras):
            rows = np.flatnonzero(cameras == other_camera)
            head = self._heads[member][int(other_camera)] = _Head()
            self._fill(member, int(other_camera), head, others[rows], values[rows], self._keep)
        near = values >= self._floors.of(others, camera)
        for other, value in zip(others[near].tolist(), values[near].tolist(), strict=True):
            self._offer(other, camera, (-value, member))

    def fill(
        self,
        members: Integers,
        cameras: Integers,
        pairs: tuple[Integers, Integers],
        values: Floats,
    ) -> None:
        """Adds all members (N,) at once; there must be none yet. ``pairs`` are positions among
        them, (M,) and (M,), ``values`` their P_a, and all others' is 0."""
        self._camera = dict(zip(members.tolist(), cameras.tolist(), strict=True))
        self._heads = {member: {} for member in members.tolist()}
        mine, others = np.concatenate(pairs), np.concatenate(pairs[::-1])
        ranks = -np.concatenate([values, values])
        order = np.lexsort((others, ranks, cameras[others], mine))
        mine, others, ranks = mine[order], others[order], ranks[order]
        heads = mine * (int(cameras.max(initial=0)) + 1) + cameras[others]
        ends = [*np.flatnonzero(np.diff(heads)) + 1, len(heads)] if len(heads) else []
        entries = list(zip(ranks.tolist(), members[others].tolist(), strict=True))
        start = 0
        for end in ends:
            member, camera = int(members[mine[start]]), int(cameras[others[start]])
            head = self._heads[member][camera] = _Head()
            self._enter(member, camera, head, entries[start:end][: self._keep], end - start)
            start = end

    def expire(self, members: Sequence[int]) -> None:
        """Removes members that ``row`` gives no more; their pairs end without being withdrawn."""
        cameras = {member: self._camera.pop(member) for member in members}
        for member, camera in cameras.items():
            self._floors.clear(member)
            for other_camera, head in self._heads.pop(member).items():
                for _, other in head.entries:
                    self._holders.get(other, set()).discard(member)
                    self._dirty.add((other, camera))
                for partner in self._accepted.pop((member, other_camera), ()):
                    self._unvote(member, partner)
        for member, camera in cameras.items():
            for holder in sorted(self._holders.pop(member, ())):
                self._remove(holder, camera, self._heads[holder][camera], member)

    def part(self, members: Sequence[int]) -> None:
        """Members stay, but have a P_a of 0 with everybody from here on, which ``row`` knows."""
        for member in members:
            camera = self._camera[member]
            for other_camera, head in self._heads[member].items():
                for _, other in head.entries:
                    self._holders[other].discard(member)
                    self._dirty.add((other, camera))
                self._enter(member, other_camera, head, [], 0)
            for holder in sorted(self._holders.pop(member, ())):
                self._remove(holder, camera, self._heads[holder][camera], member)

    def state(self) -> list[MemberState]:
        """Members with the heads of their rankings, after ``settle``. The accepted pairs follow."""
        return [
            MemberState(
                member,
                camera,
                [(c, h.entries, h.worst) for c, h in sorted(self._heads[member].items())],
            )
            for member, camera in sorted(self._camera.items())
        ]

    def restore(self, state: Iterable[MemberState]) -> None:
        """Goes on from ``state``; there must be no members yet."""
        for each in state:
            self._camera[each.member] = each.camera
            self._heads[each.member] = {}
            for camera, entries, worst in each.heads:
                head = self._heads[each.member][camera] = _Head()
                head.entries, head.worst = list(entries), worst
                floor = 0.0 if worst is None else -worst[0]
                self._floors.set(each.member, camera, floor)
                for _, other in entries:
                    self._holders.setdefault(other, set()).add(each.member)
                self._dirty.add((each.member, camera))
        self.settle()

    def settle(self) -> tuple[set[Pair], set[Pair]]:
        """Brings the accepted pairs up to date: those new since the last time, those withdrawn."""
        before: dict[Pair, bool] = {}
        while self._dirty:
            for query, camera in sorted(self._dirty):
                self._dirty.discard((query, camera))
                if query not in self._camera:
                    continue
                old = self._accepted.get((query, camera), ())
                new = tuple(self._walk(query, camera))
                if old == new:
                    continue
                for partner in set(old) ^ set(new):
                    pair = _pair(query, partner)
                    before.setdefault(pair, pair in self._votes)
                for partner in old:
                    self._unvote(query, partner)
                for partner in new:
                    pair = _pair(query, partner)
                    self._votes[pair] = self._votes.get(pair, 0) + 1
                if new:
                    self._accepted[query, camera] = new
                else:
                    self._accepted.pop((query, camera), None)
        added = {p for p, was in before.items() if not was and p in self._votes}
        gone = {p for p, was in before.items() if was and p not in self._votes}
        return added, {p for p in gone if p[0] in self._camera and p[1] in self._camera}

    def _walk(self, query: int, camera: int) -> Iterable[int]:
        """The reference's walk of one query over one camera."""
        own = self._camera[query]
        position = 0
        while True:
            head = self._head(query, camera, position + 1)
            if position >= len(head.entries):
                return
            partner = head.entries[position][1]
            if self._top(partner, own) != query:
                return
            yield partner
            position += 1

    def _top(self, member: int, camera: int) -> int | None:
        entries = self._head(member, camera).entries
        return entries[0][1] if entries else None

    def _head(self, member: int, camera: int, length: int = 1) -> _Head:
        """The head of a ranking with at least ``length`` entries, if there are so many."""
        heads = self._heads[member]
        head = heads.get(camera)
        if head is None:
            return _Head()
        if head.worst is not None and len(head.entries) < length:
            others, values = self._row(member, camera)
            positive = values > 0
            for _, other in head.entries:
                self._holders[other].discard(member)
            head = heads[camera] = _Head()
            keep = max(self._keep, 2 * length)
            self._fill(member, camera, head, others[positive], values[positive], keep)
        return head

    def _fill(
        self,
        member: int,
        camera: int,
        head: _Head,
        others: Integers,
        values: Floats,
        keep: int,
    ) -> None:
        order = np.lexsort((others, -values))
        entries = [(-float(values[i]), int(others[i])) for i in order[:keep]]
        self._enter(member, camera, head, entries, len(order))

    def _enter(
        self, member: int, camera: int, head: _Head, entries: list[Entry], n_ranked: int
    ) -> None:
        """Puts the first of ``n_ranked`` partners into a head."""
        head.entries = entries
        head.worst = entries[-1] if n_ranked > len(entries) else None
        self._floors.set(member, camera, 0.0 if head.worst is None else -head.worst[0])
        for _, other in entries:
            self._holders.setdefault(other, set()).add(member)
        self._dirty.add((member, camera))

    def _offer(self, member: int, camera: int, entry: Entry) -> None:
        heads = self._heads[member]
        head = heads.get(camera)
        if head is None:
            head = heads[camera] = _Head()
        top = head.entries[0][1] if head.entries else None
        dropped = head.take(entry, max(self._keep, len(head.entries)))
        if head.worst is not None:
            self._floors.set(member, camera, -head.worst[0])
        if dropped is entry:
            if len(self._accepted.get((member, camera), ())) >= len(head.entries):
                self._dirty.add((member, camera))  # its walk went to the end and may go on
            return
        if dropped is not None:
            self._holders[dropped[1]].discard(member)
        self._holders.setdefault(entry[1], set()).add(member)
        self._touched(member, camera, top, head)

    def _remove(self, member: int, camera: int, head: _Head, gone: int) -> None:
        top = head.entries[0][1] if head.entries else None
        head.entries = [e for e in head.entries if e[1] != gone]
        if not head.entries and head.worst is not None:
            head = self._head(member, camera)
        self._touched(member, camera, top, head)

    def _touched(self, member: int, camera: int, old_top: int | None, head: _Head) -> None:
        """Marks every walk that a changed ranking of ``member`` over ``camera`` can alter."""
        self._dirty.add((member, camera))
        new_top = head.entries[0][1] if head.entries else None
        if old_top != new_top:
            own = self._camera[member]
            for query in (old_top, new_top):
                if query is not None:
                    self._dirty.add((query, own))

    def _unvote(self, first: int, second: int) -> None:
        pair = _pair(first, second)
        votes = self._votes.get(pair, 0) - 1
        if votes > 0:
            self._votes[pair] = votes
        else:
            self._votes.pop(pair, None)


def _pair(first: int, second: int) -> Pair:
    return (first, second) if first < second else (second, first)
