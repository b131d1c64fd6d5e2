"""A world run through the tracker, and what came out beside the upper bound."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np

from stgal_stream.core.calibration.calibrate import calibrate
from stgal_stream.core.calibration.model import Calibration
from stgal_stream.core.calibration.score_tables import ScoreTables
from stgal_stream.core.gallery.gallery import Gallery
from stgal_stream.core.measures.best_buddies import best_buddies
from stgal_stream.core.measures.distance import distances
from stgal_stream.core.measures.travel_time import travel_times_s
from stgal_stream.core.tracker.site_tracker import SiteTracker
from stgal_stream.evaluation.retrieval import Ranking
from stgal_stream.evaluation.stream_quality import PairQuality, pair_quality
from stgal_stream.experiments.worlds.bound import PerfectVisits, best_identities
from stgal_stream.experiments.worlds.boxes import BoxesLaw, images_of
from stgal_stream.experiments.worlds.delivery import IN_TIME, Arrival, DeliveryLaw
from stgal_stream.experiments.worlds.looks import LooksLaw, Path, drift
from stgal_stream.experiments.worlds.movement import Movement, Visit
from stgal_stream.settings import EmbedSettings, TrackerSettings
from stgal_stream.types import Detection, Event, Floats, IdentityEvent, Integers, Tracklet
from stgal_stream.wire.events import encode_identity
from stgal_stream.wire.fields import track_of
from stgal_stream.wire.mapping import Mapping

START_S = 1_700_000_000.0
_EXTRACTOR = "simulated"
_PLAIN_EPSILON_S = 10.0  # the plain form of P_t: the paper's epsilon
_PLAIN_FLOOR = 1e-9
_TICK_S = EmbedSettings().tick_after_s
_ALPHAS = np.geomspace(0.03, 30.0, 19)  # times the calibrated one


@dataclass(frozen=True, slots=True)
class World:
    """Laws, sizes and a seed. ``light`` is the size of a drift of light: of ``all`` cameras
    together, or of the first ``one``."""

    movement: Movement
    looks: LooksLaw
    boxes: BoxesLaw
    n_people: int
    minutes: float
    noise: float
    seed: int
    light: float = 0.0
    light_of: str = "all"
    delivery: DeliveryLaw = IN_TIME

    @property
    def name(self) -> str:
        """What it is, in words."""
        lit = f", light {self.light:g} in {self.light_of}" if self.light else ""
        sent = "" if self.delivery is IN_TIME else f", {self.delivery.name}"
        return f"{self.movement.__name__}, {self.looks.__name__}, {self.boxes.name}{lit}{sent}"


@dataclass(frozen=True, slots=True)
class Stream:
    """The detections of a world, as they were seen and as they arrive; whose visit each is (by its
    id), and the visits."""

    detections: list[Detection]
    arriving: list[Arrival]
    visit_of: dict[str, int]
    visits: list[Visit]


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one world. F1 is of pairs of detections across cameras; ``rank1`` and ``mean_ap`` of P_a
    are shares of the best form in hindsight, ``over_p_v`` is rank-1 less that of P_v. ``lost`` is
    the number of detections that got no identity."""

    name: str
    n_detections: int
    n_visits: int
    first: PairQuality
    final: PairQuality
    bound: PairQuality
    p_v_rank1: float
    rank1: float
    mean_ap: float
    over_p_v: float
    expected: float
    true: float
    expected_of_identities: float
    true_of_identities: float
    across: float
    first_link_s: float
    lost: int
    seconds: float

    @property
    def of_bound(self) -> float:
        """Final F1 as a share of the bound's."""
        return self.final.f1 / max(self.bound.f1, 1e-9)

    @property
    def first_of_bound(self) -> float:
        """F1 as first published, as a share of the bound's."""
        return self.first.f1 / max(self.bound.f1, 1e-9)


def stream_of(world: World) -> Stream:
    """The detections of a world."""
    rng = np.random.default_rng(world.seed)
    visits = world.movement(rng, world.n_people, world.minutes * 60.0)
    visits.sort(key=lambda v: (v.start_s, v.camera, v.person))
    looks = world.looks(rng, visits, world.noise)
    images = images_of(visits, world.boxes.every_s)
    tracks = world.boxes.tracks(rng, images)
    cameras = sorted({visit.camera for visit in visits})
    path: Path = drift(rng, world.light)
    lit = set(cameras) if world.light_of == "all" else set(cameras[:1])
    detections, visit_of = [], {}
    for k, (image, track) in enumerate(zip(images, tracks, strict=True)):
        seen = looks.of_visit[image.visit] + looks.image * rng.normal(size=looks.of_visit.shape[1])
        if world.light and image.camera in lit:
            seen = seen + path(image.time_s)
        name = f"{k:07d}"
        visit_of[name] = image.visit
        at_s = START_S + image.time_s
        vector = seen.astype(np.float32)
        detections.append(Detection(name, image.camera, at_s, vector, _EXTRACTOR, track_of(track)))
    return Stream(detections, world.delivery.arriving(rng, detections), visit_of, visits)


@dataclass(slots=True)
class Published:
    """What was published: the identity of each detection at first, and after all renames; when
    (true time) the first camera pair was linked, if any was; and the sightings of each identity
    that are in the window at the end."""

    first: dict[str, str]
    final: dict[str, str]
    expected: float
    accepted: list[tuple[str, str]]
    expected_of_identities: float = float("nan")
    sightings: list[list[Tracklet]] = field(default_factory=list)
    linked_s: float = float("inf")


def track(arriving: Sequence[Arrival], settings: TrackerSettings) -> Published:
    """A stream through the tracker, from the first detection that arrives to the last; while
    nothing arrives time goes on as the daemon's ticks let it."""
    tracker = SiteTracker("world", settings)
    found, mapping = Published({}, {}, 0.0, []), Mapping()
    before_s = arriving[0].at_s if arriving else 0.0
    for arrival in arriving:
        heard_s, detection = tracker.clock.time_s, arrival.detection
        for silent_s in np.arange(_TICK_S, arrival.at_s - before_s, _TICK_S).tolist():
            _note(mapping, tracker.tick(heard_s + silent_s))
            _note_link(found, tracker, before_s + silent_s)
        before_s = arrival.at_s
        _note(mapping, tracker.observe(detection))
        _note_link(found, tracker, arrival.at_s)
    _note(mapping, tracker.close())
    for row in mapping:
        found.first[row.detection_id] = row.first_global_id
        found.final[row.detection_id] = row.global_id
    gallery = tracker.window.gallery
    found.expected = tracker.window.accepted.expected_precision
    found.accepted = [(gallery[i].id, gallery[j].id) for i, j in tracker.window.accepted.pairs]
    whole = tracker.window.resolver.precision.value
    found.expected_of_identities = float("nan") if whole is None else whole
    identities = tracker.window.identities
    found.sightings = [[gallery[n] for n in identities[s].members] for s in identities.slots]
    return found


def _note(mapping: Mapping, events: Sequence[Event]) -> None:
    for event in events:
        if isinstance(event, IdentityEvent):
            mapping.take(msgspec.json.decode(encode_identity("world", event)))


def _note_link(found: Published, tracker: SiteTracker, at_s: float) -> None:
    calibration = tracker.window.scorer.calibration
    if calibration is not None and calibration.has_learned:
        found.linked_s = min(found.linked_s, at_s)


def perfect_visits(stream: Stream) -> PerfectVisits:
    """Every visit as one tracklet."""
    parts: dict[int, list[Detection]] = {}
    for detection in stream.detections:
        parts.setdefault(stream.visit_of[detection.id], []).append(detection)
    order = sorted(parts, key=lambda v: (parts[v][-1].time_s, v))
    tracklets = []
    for number, visit in enumerate(order):
        mine = parts[visit]
        mean = np.stack([d.embedding for d in mine]).mean(axis=0, dtype=np.float64)
        tracklets.append(
            Tracklet(
                number,
                mine[0].camera,
                mine[0].time_s,
                mine[-1].time_s,
                mean.astype(np.float32),
                _EXTRACTOR,
                tuple(d.id for d in mine),
            )
        )
    return PerfectVisits.of(tracklets, (stream.visits[visit].person for visit in order))


def measure(world: World, settings: TrackerSettings | None = None) -> Figures:
    """Everything about one world."""
    settings = settings or TrackerSettings()
    stream = stream_of(world)
    started = time.process_time()
    published = track(stream.arriving, settings)
    seconds = time.process_time() - started
    visits = perfect_visits(stream)
    best = best_identities(visits)
    bound_of = {
        name: identity
        for tracklet, identity in zip(visits.gallery.tracklets, best, strict=True)
        for name in tracklet.detection_ids
    }
    p_v, p_a, hindsight = retrieval(visits, settings)
    cameras = {d.id: d.camera for d in stream.detections}
    people = {d.id: stream.visits[stream.visit_of[d.id]].person for d in stream.detections}

    def quality(ids: dict[str, str]) -> PairQuality:
        # What got no identity (refused) is a person of its own.
        given = [ids.get(name, name) for name in cameras]
        return pair_quality(given, list(people.values()), list(cameras.values()))

    right = [people[i] == people[j] for i, j in published.accepted]
    return Figures(
        world.name,
        len(stream.detections),
        len(stream.visits),
        quality(published.first),
        quality(published.final),
        quality(bound_of),
        p_v[0],
        p_a[0] / max(hindsight[0], 1e-9),
        p_a[1] / max(hindsight[1], 1e-9),
        p_a[0] - p_v[0],
        published.expected,
        float(np.mean(right)) if right else 1.0,
        published.expected_of_identities,
        true_precision(published.sightings, people),
        share_across(published.final, cameras),
        published.linked_s - stream.detections[0].time_s,
        len(cameras) - len(published.final),
        seconds,
    )


def true_precision(identities: Sequence[Sequence[Tracklet]], people: dict[str, int]) -> float:
    """Of the pairs of sightings that identities hold across cameras, the share that is one
    person's, from whose each detection is; a sighting is whose most of its detections are."""
    n = n_right = 0
    for sightings in identities:
        person = [
            Counter(people[d] for d in s.detection_ids).most_common(1)[0][0] for s in sightings
        ]
        for i, one in enumerate(sightings):
            across = [k for k in range(i) if sightings[k].camera != one.camera]
            n += len(across)
            n_right += sum(person[k] == person[i] for k in across)
    return n_right / n if n else 1.0


def share_across(ids: dict[str, str], cameras: dict[str, str]) -> float:
    """The share of detections in an identity that more than one camera saw."""
    seen: dict[str, set[str]] = {}
    for name, identity in ids.items():
        seen.setdefault(identity, set()).add(cameras[name])
    return float(np.mean([len(seen[identity]) > 1 for identity in ids.values()])) if ids else 0.0


# --- retrieval -------------------------------------------------------------------------------

Mark = tuple[float, float]  # rank-1, mAP


def retrieval(visits: PerfectVisits, settings: TrackerSettings) -> tuple[Mark, Mark, Mark]:
    """Rank-1 and mAP of P_v, of P_a as calibrated, and the best, each for itself, of P_v, of P_a at
    any alpha and of P_v with a plain P_t at any alpha."""
    gallery = visits.gallery
    found = calibrate(gallery, settings, "bench")
    directions = found.normalisation.directions(gallery.embeddings, gallery.cameras)
    d = distances(directions, directions).astype(np.float64)
    times = travel_times_s(gallery.spans[:, None], gallery.spans[None, :])
    log_p_t = _calibrated_log_p_t(gallery, found, d, times)
    plain = _plain_log_p_t(gallery, d, times)
    p_v = _mark(visits, -d)
    seen = d if found.light is None else found.light.seen(d, found.grid.bins(times))
    p_a = _mark(visits, log_p_t - found.alpha * seen)
    tried = [p_v, p_a]
    for alpha in found.alpha * _ALPHAS:
        tried += [_mark(visits, log_p_t - alpha * seen), _mark(visits, plain - alpha * d)]
    return p_v, p_a, (max(m[0] for m in tried), max(m[1] for m in tried))


def _mark(visits: PerfectVisits, scores: Floats) -> Mark:
    cameras = visits.gallery.cameras
    ranking = Ranking(visits.people + 1, cameras)  # 0 is a distractor there
    for row in range(len(scores)):
        ranking.add(scores[row], int(visits.people[row]) + 1, int(cameras[row]))
    try:
        result = ranking.result()
    except ValueError:  # nobody was seen by two cameras
        return 1.0, 1.0
    return result.rank(1), result.mAP


def _calibrated_log_p_t(gallery: Gallery, found: Calibration, d: Floats, times: Floats) -> Floats:
    """P_t as calibrated; 1 where the stream tells no times, so that P_a is P_v."""
    if not found.has_learned:
        return np.zeros(d.shape)
    names, at_alpha_0 = gallery.camera_names, ScoreTables(replace(found, alpha=0.0))
    rows = np.full(d.shape, -np.inf)
    for row in range(len(d)):
        camera = names[gallery.cameras[row]]
        scores = at_alpha_0.score(camera, names, gallery.cameras, d[row], times[row])
        with np.errstate(divide="ignore"):
            rows[row] = np.log(scores.p_association)
    return rows


def _plain_log_p_t(gallery: Gallery, d: Floats, times: Floats) -> Floats:
    """P_t counted from the best buddies of every camera pair, whatever they are worth."""
    rows = np.full(d.shape, np.log(_PLAIN_FLOOR))
    members: list[Integers] = [
        np.flatnonzero(gallery.cameras == c) for c in range(len(gallery.camera_names))
    ]
    for a, mine in enumerate(members):
        for other in members[a + 1 :]:
            block = np.ix_(mine, other)
            pairs = best_buddies(-d[block], iterated=False)
            seen = np.sort(times[block][pairs[:, 0], pairs[:, 1]])
            t = times[block]
            near = np.searchsorted(seen, t + _PLAIN_EPSILON_S, side="right")
            near = near - np.searchsorted(seen, t - _PLAIN_EPSILON_S, side="left")
            share = np.log(near / max(len(seen), 1) + _PLAIN_FLOOR)
            rows[block] = share
            rows[np.ix_(other, mine)] = share.T
    return rows
