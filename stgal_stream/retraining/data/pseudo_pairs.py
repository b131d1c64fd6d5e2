"""What a stream said about itself, as training data: tracklets, accepted pairs, crops by offset.

Only the daemon's own outputs are read, and no label is in them. Laws: a pair that was withdrawn
is none; two sightings that were in one camera at one time are two people, so no chain of pairs
makes one of them: the less probable pair is left out and counted; what retention has taken is
skipped and counted.
Of more tracklets than can be compared in one night the newest are used, the others counted.
A tracklet's other crops are found by its detections' ids in the embeddings topic, which names each
one's place in the log; where that topic is gone, the best crop stands alone.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stgal_stream.extractor.encoded_crops import EncodedCrops
from stgal_stream.extractor.onnx import OnnxExtractor
from stgal_stream.log.port import Log
from stgal_stream.log.reading import records
from stgal_stream.retraining.data.logged_crops import read_crops
from stgal_stream.retraining.data.logged_embeddings import LoggedEmbeddings
from stgal_stream.retraining.data.stream_events import (
    UNREADABLE,
    Accepted,
    AssociationEvent,
    Sighting,
    associations_of,
    identities_of,
)
from stgal_stream.training.batches import PseudoPair
from stgal_stream.types import Position

_MAX_VIEWS = 8


@dataclass(slots=True)
class StreamData:
    """Sightings in order of time with their crops, and pairs between them; ``known`` is, by number,
    the mean embedding (D,) of those that the extractor in question has embedded before."""

    sightings: list[Sighting]
    crops: EncodedCrops
    pairs: list[PseudoPair]
    left_out: Counter[str] = field(default_factory=Counter)
    known: dict[int, NDArray[np.float32]] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Of which crops and pairs there are: a training can go on only with the same."""
        crops = [(s.site, s.id, n) for s, n in zip(self.sightings, self.crops.counts, strict=True)]
        pairs = [(p.first, p.second, p.posterior) for p in self.pairs]
        return hashlib.sha256(repr((crops, pairs, sorted(self.known))).encode()).hexdigest()


def ends(log: Log, topics: list[str]) -> dict[str, list[int]]:
    """How far each topic is now, by partition: what a resumed run reads again."""
    return {
        topic: [log.end(topic, partition) for partition in range(log.partitions(topic))]
        for topic in topics
    }


def read_stream(
    log: Log,
    identities: str,
    associations: str,
    embeddings: str,
    until: dict[str, list[int]],
    extractor: OnnxExtractor,
    most: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> StreamData:
    """Everything up to ``until`` that can be used for training of an extractor, the newest ``most``
    sightings of it."""
    left_out: Counter[str] = Counter()
    seen: dict[tuple[str, str], Sighting] = {}
    topics: dict[str, int] = {}
    for event in identities_of(_values(log, identities, until), left_out):
        try:
            sighting = event.sighting()
        except ValueError:
            left_out[UNREADABLE] += 1
            continue
        if sighting is None:
            continue
        if sighting.crop is None:
            left_out["no_crop_in_the_log"] += 1
        elif not _is_place(log, sighting.crop, topics):
            left_out[UNREADABLE] += 1
        else:
            seen[sighting.site, sighting.id] = sighting
            thin_out(seen, most, left_out)
    ordered = newest(seen.values(), most, left_out)
    names = ((s.site, s.detections) for s in ordered)
    logged = LoggedEmbeddings(names, extractor.version, extractor.dim)
    logged.take(_values(log, embeddings, until))
    wanted = [_places_of(sighting, logged.places) for sighting in ordered]
    places = [at for some in wanted for at in some]
    found = read_crops(log, places, extractor.form, left_out, on_progress)
    crops = [
        [found[at] for at in some if at in found] if some[0] in found else [] for some in wanted
    ]
    events = associations_of(_values(log, associations, until), left_out)
    return paired(ordered, crops, events, left_out, logged.means())


def newest(sightings: Iterable[Sighting], most: int, left_out: Counter[str]) -> list[Sighting]:
    """The newest ones, in order of time."""
    ordered = sorted(sightings, key=lambda s: (s.start_s, s.site, s.camera, s.id))
    if len(ordered) > most:
        left_out["older_than_the_newest"] += len(ordered) - most
    return ordered[-most:]


def thin_out(seen: dict[tuple[str, str], Sighting], most: int, left_out: Counter[str]) -> None:
    """Lets go of the oldest ones where there are twice as many as will be used, so that memory does
    not grow with the stream."""
    if len(seen) >= 2 * most:
        kept = newest(seen.values(), most, left_out)
        seen.clear()
        seen.update(((s.site, s.id), s) for s in kept)


def paired(
    ordered: list[Sighting],
    crops: list[list[bytes]],
    associations: Iterable[AssociationEvent],
    left_out: Counter[str],
    known: dict[int, NDArray[np.float32]] | None = None,
    *,
    least_posterior: float = 0.5,
) -> StreamData:
    """Sightings in order of time that have crops, and the pairs between them that stand."""
    there = [i for i, pictures in enumerate(crops) if pictures]
    sightings = [ordered[i] for i in there]
    index = {(s.site, s.id): i for i, s in enumerate(sightings)}
    found = _pairs(associations, index, least_posterior, left_out)
    kept = without_conflicts(found, sightings, left_out)
    means = {at: known[i] for at, i in enumerate(there) if known and i in known}
    return StreamData(sightings, EncodedCrops([crops[i] for i in there]), kept, left_out, means)


def are_apart(first: Sighting, second: Sighting) -> bool:
    """Whether the two were in one camera at one time (equation 2)."""
    return (
        first.site == second.site
        and first.camera == second.camera
        and first.start_s <= second.end_s
        and second.start_s <= first.end_s
    )


def known_negative_pairs(sightings: list[Sighting]) -> NDArray[np.int64]:
    """(M, 2) pairs that were in one camera at one time; sightings are in order of start."""
    found, active = [], list[int]()
    for i, sighting in enumerate(sightings):
        active = [j for j in active if sightings[j].end_s >= sighting.start_s]
        found += [(j, i) for j in active if are_apart(sightings[j], sighting)]
        active.append(i)
    return np.array(found, np.int64).reshape(-1, 2)


def _values(log: Log, topic: str, until: dict[str, list[int]]) -> Iterator[bytes]:
    for partition, end in enumerate(until[topic]):
        for record in records(log, topic, partition, stop=end):
            yield record.value


def _is_place(log: Log, at: Position, n_partitions: dict[str, int]) -> bool:
    """Whether there can be a record; what was asked of the log is kept."""
    if at.topic not in n_partitions:
        n_partitions[at.topic] = log.partitions(at.topic)
    return 0 <= at.partition < n_partitions[at.topic] and at.offset >= 0


def _places_of(sighting: Sighting, places: dict[tuple[str, str], Position]) -> list[Position]:
    """Where the best crop lies, and then some of the others, spread over the tracklet."""
    assert sighting.crop is not None
    known = [places.get((sighting.site, name)) for name in sighting.detections]
    others = [at for at in known if at is not None and at != sighting.crop]
    step = max(1.0, len(others) / (_MAX_VIEWS - 1))
    chosen = [others[int(i * step)] for i in range(min(len(others), _MAX_VIEWS - 1))]
    return [sighting.crop, *chosen]


def _pairs(
    events: Iterable[AssociationEvent],
    index: dict[tuple[str, str], int],
    least_posterior: float,
    left_out: Counter[str],
) -> list[PseudoPair]:
    standing: dict[tuple[str, str], PseudoPair] = {}
    for event in events:
        key = event.site, event.pair_id
        if not isinstance(event, Accepted):
            standing.pop(key, None)
            continue
        query, gallery = (index.get((event.site, side.id)) for side in (event.query, event.gallery))
        if query is None or gallery is None or query == gallery:
            left_out["pair_without_its_crops"] += 1
        elif event.posterior < least_posterior:
            left_out["improbable"] += 1
        else:
            standing[key] = PseudoPair(min(query, gallery), max(query, gallery), event.posterior)
    return sorted(standing.values(), key=lambda p: (p.first, p.second))


def without_conflicts(
    pairs: list[PseudoPair], sightings: list[Sighting], left_out: Counter[str]
) -> list[PseudoPair]:
    """The pairs without those that would make one identity of two sightings in one camera at one
    time (equation 2): from the most probable pair on, one that would is left out, and counted.
    Sightings are in order of start."""
    apart: dict[int, set[int]] = defaultdict(set)
    for first, second in known_negative_pairs(sightings).tolist():
        apart[first].add(second)
        apart[second].add(first)
    identity: dict[int, set[int]] = {}
    kept = []
    for pair in sorted(pairs, key=lambda p: (-p.posterior, p.first, p.second)):
        one, two = (identity.setdefault(row, {row}) for row in (pair.first, pair.second))
        if one is not two:
            if any(apart[row] & two for row in one):
                left_out["conflict"] += 1
                continue
            one |= two
            identity.update((row, one) for row in two)
        kept.append(pair)
    return sorted(kept, key=lambda p: (p.first, p.second))
