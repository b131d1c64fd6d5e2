"""Operators' corrections as labels: of the pairs that people judged, which the tracker had right.

A word speaks of every pair of a sighting of its first side and one of its second. Of two words on
one pair the newer holds, as it does for the tracker. What the tracker held by itself is what was
published before the first word on the pair. Law: what lies in a topic may be anything; what cannot
be read is counted and stops nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, Literal, TypeVar

import msgspec

from stgal_stream.evaluation.share import Share


class _Tracklet(msgspec.Struct):
    id: str
    detections: tuple[str, ...]


class _Event(msgspec.Struct, rename="camel"):
    type: str
    site: str
    at_seconds: float
    global_id: str
    tracklet: _Tracklet | None = None
    from_id: str | None = msgspec.field(default=None, name="from")
    correction_id: str | None = None


class _Word(msgspec.Struct, rename="camel"):
    site: str
    at_seconds: float
    correction_id: str
    verdict: Literal["same", "different"]
    first: tuple[str, ...]
    second: tuple[str, ...]
    refused: str | None = None


Told = TypeVar("Told")
_EVENTS, _WORDS = msgspec.json.Decoder(_Event), msgspec.json.Decoder(_Word)


@dataclass(frozen=True, slots=True)
class Judged:
    """How the tracker did: ``right`` of all pairs; ``precision`` of the pairs that it held as one
    person, ``recall`` of those that are one."""

    right: Share
    precision: Share
    recall: Share


@dataclass(frozen=True, slots=True)
class Words:
    """How many there are by verdict, and how many of all were refused."""

    same: int
    different: int
    refused: int


@dataclass(frozen=True, slots=True)
class JudgedPairs:
    """What the words come to. ``n_unknown`` pairs are of sightings that the log does not hold (any
    more); ``n_unreadable`` records are none. ``before`` any word on a pair, and ``final``."""

    words: Words
    n_pairs: int
    n_unknown: int
    n_unreadable: int
    before: Judged
    final: Judged

    def as_json(self) -> dict[str, Any]:
        """Plain values; figures are fractions."""
        found = asdict(self)
        for when in ("before", "final"):
            for name, share in asdict(getattr(self, when)).items():
                told = getattr(getattr(self, when), name).share
                found[when][name] = {"share": told, **share}
        return found


@dataclass(slots=True)
class _Pair:
    held: bool  # as one person, before any word on it
    is_one: bool
    word: tuple[str, int]


class _Site:
    """Identities of the sightings that a site's words name, as the events tell of them in order."""

    def __init__(self, name: str, words: list[_Word]) -> None:
        self._name = name
        self._words = words
        self._told = 0  # so many words lie before the event that is read
        self._number = {word.correction_id: n for n, word in enumerate(words)}
        self._wanted = {name for word in words for name in (*word.first, *word.second)}
        self._sighting: dict[str, str] = {}
        self._identity: dict[str, str] = {}
        self._members: defaultdict[str, set[str]] = defaultdict(set)
        self.pairs: dict[tuple[str, str], _Pair] = {}
        self.unknown: set[tuple[str, str]] = set()

    def take(self, event: _Event) -> None:
        """The next event. A word stands before what it brought about, and before all of later."""
        cause = self._number.get(event.correction_id or "", -1)
        while self._told < len(self._words) and (
            self._told <= cause or event.at_seconds > self._words[self._told].at_seconds
        ):
            self._tell()
        if event.type not in ("created", "joined", "renamed"):
            return
        if event.tracklet is None:
            for sighting in self._members.pop(event.from_id or "", set()):
                self._place(sighting, event.global_id)
        elif named := self._wanted.intersection(event.tracklet.detections):
            self._sighting |= dict.fromkeys(named, event.tracklet.id)
            self._place(event.tracklet.id, event.global_id)

    def _place(self, sighting: str, identity: str) -> None:
        self._members[self._identity.get(sighting, "")].discard(sighting)
        self._identity[sighting] = identity
        self._members[identity].add(sighting)

    def _tell(self) -> None:
        word = self._words[self._told]
        for names in product(word.first, word.second):
            one, other = (self._sighting.get(name) for name in names)
            if one is None or other is None:
                self.unknown.add((min(names), max(names)))
            elif one != other:
                key = (min(one, other), max(one, other))
                pair = self.pairs.setdefault(key, _Pair(self._is_one(key), False, ("", 0)))
                pair.is_one, pair.word = word.verdict == "same", (self._name, self._told)
        self._told += 1

    def _is_one(self, pair: tuple[str, str]) -> bool:
        return self._identity[pair[0]] == self._identity[pair[1]]

    def finish(self) -> list[tuple[_Pair, bool]]:
        """The pairs, and whether each is held as one in the end."""
        while self._told < len(self._words):
            self._tell()
        return [(pair, self._is_one(key)) for key, pair in self.pairs.items()]


def judged_pairs(corrections: Iterable[bytes], identities: Iterable[bytes]) -> JudgedPairs | None:
    """From the values of both topics, each site's in the log's order; None without a word."""
    unreadable: list[Exception] = []
    words: defaultdict[str, list[_Word]] = defaultdict(list)
    for word in _read(_WORDS, corrections, unreadable):
        words[word.site].append(word)
    if not words:
        return None
    sites = {name: _Site(name, said) for name, said in words.items()}
    for event in _read(_EVENTS, identities, unreadable):
        if (site := sites.get(event.site)) is not None:
            site.take(event)
    found = [row for site in sites.values() for row in site.finish()]
    every = [word for said in words.values() for word in said]
    verdicts = Counter(word.verdict for word in every)
    return JudgedPairs(
        Words(verdicts["same"], verdicts["different"], sum(w.refused is not None for w in every)),
        len(found),
        sum(len(site.unknown) for site in sites.values()),
        len(unreadable),
        _judged((pair, pair.held) for pair, _ in found),
        _judged(found),
    )


def _read(
    decoder: msgspec.json.Decoder[Told], values: Iterable[bytes], unreadable: list[Exception]
) -> Iterator[Told]:
    for value in values:
        try:
            yield decoder.decode(value)
        except (ValueError, RecursionError) as error:  # msgspec's own errors are ValueErrors
            unreadable.append(error)


def _judged(pairs: Iterable[tuple[_Pair, bool]]) -> Judged:
    rows = [(pair.is_one, held, pair.word) for pair, held in pairs]
    return Judged(
        _share((is_one == held, word) for is_one, held, word in rows),
        _share((is_one, word) for is_one, held, word in rows if held),
        _share((held, word) for is_one, held, word in rows if is_one),
    )


def _share(rows: Iterable[tuple[bool, tuple[str, int]]]) -> Share:
    """Pairs of one word were judged at once, so they are worth fewer: Kish's effective number."""
    rows = list(rows)
    sizes = Counter(word for _, word in rows).values()
    worth = len(rows) ** 2 / sum(n * n for n in sizes) if rows else 0.0
    return Share.of(sum(right for right, _ in rows), len(rows), worth)
