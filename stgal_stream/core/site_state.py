"""A tracker's whole state as plain values, and back.

The law: ``restore(snapshot(tracker))`` goes on exactly as the tracker would have, to the bit.
Numbers that came out of a matrix product are kept, never computed again, since a product's last
bits depend on its shape.
"""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

from numpy.typing import NDArray

from stgal_stream.core.associator import Associator
from stgal_stream.core.calibration import Calibration, PairModel
from stgal_stream.core.calibration_history import PastCalibration
from stgal_stream.core.company import Company
from stgal_stream.core.identities import Identity
from stgal_stream.core.mixture import Verdict
from stgal_stream.core.plain_values import (
    State,
    dump_box,
    dump_open,
    dump_position,
    load_box,
    load_open,
    load_position,
    pack,
    unpack,
    unpack_some,
)
from stgal_stream.core.site_tracker import SiteTracker
from stgal_stream.core.spread import Spread
from stgal_stream.core.time_grid import TimeGrid
from stgal_stream.core.travel_time import TravelTimeDistribution
from stgal_stream.core.view import View
from stgal_stream.core.visits_state import dump_visits, load_visits
from stgal_stream.types import Detection, TrackerSettings, Tracklet


def snapshot(tracker: SiteTracker) -> State:
    """Everything that the tracker knows, as dicts, lists, numbers, strings and bytes."""
    return {
        "site": tracker.site,
        "watermark_s": tracker.watermark.value_s,
        "extractor": tracker.extractor,
        "dim": tracker.dim,
        "recent": tracker.recent.dump(),
        "pending": [
            _dump_detection(entry[3])
            for entry in sorted(tracker.builder.pending, key=lambda e: e[:3])
        ],
        "open": [dump_open(t) for t in tracker.builder.open.values()],
        "visits": dump_visits(tracker.builder.visits),
        "associator": _dump_associator(tracker.associator),
    }


def restore(state: State, settings: TrackerSettings) -> SiteTracker:
    """A tracker that goes on where ``snapshot`` was taken, under the same settings."""
    tracker = SiteTracker(state["site"], settings)
    tracker.watermark.value_s = state["watermark_s"]
    tracker.extractor, tracker.dim = state["extractor"], state["dim"]
    tracker.recent.load(state["recent"])
    for raw in state["pending"]:
        tracker.builder.observe(_load_detection(raw))
    for raw in state["open"]:
        opened = load_open(raw)
        assert opened.track_id is not None
        tracker.builder.open[opened.camera, opened.track_id] = opened
    load_visits(tracker.builder.visits, state["visits"])
    _load_associator(tracker.associator, state["associator"])
    return tracker


def _dump_associator(associator: Associator) -> State:
    gallery = associator.gallery
    return {
        "cameras": list(gallery.camera_names),
        "first": gallery.first,
        "tracklets": [_dump_tracklet(t) for t in gallery.tracklets],
        "settled": [gallery.settled_s(int(n)) for n in gallery.numbers],
        "embeddings": pack(gallery.embeddings),
        "scales": pack(gallery.scales),
        "labels": gallery.labels.tolist(),
        "known": pack(gallery.known),
        "evidence_of_company": pack(gallery.company),
        "company": [associator.company.share, associator.company.rate],
        "identities": associator.identities.dump(),
        "buddies": associator.buddies.dump(),
        "accepted": [
            [*pair, associator.accepted.posterior(pair)]
            for pair in sorted(associator.accepted.pairs)
        ],
        "calibration": _dump_calibration(associator.scorer.calibration),
        "n_calibrations": associator.n_calibrations,
        "n_until_calibration": associator.n_until_calibration,
        "continued": [[*key, number] for key, number in associator.continued.items()],
        "history": [
            [e.at_s, e.alpha, e.expected_precision, [[*p, m] for p, m in e.medians_s.items()]]
            for e in associator.history.entries
        ],
    }


def _load_associator(associator: Associator, state: State) -> None:
    gallery = associator.gallery
    gallery.first = state["first"]
    for camera in state["cameras"]:
        gallery.camera_index(camera)
    embeddings = unpack(state["embeddings"])
    for i, (raw, settled_s) in enumerate(zip(state["tracklets"], state["settled"], strict=True)):
        gallery.add(_load_tracklet(raw, state["first"] + i, embeddings[i]), settled_s)
    gallery.labels[:] = state["labels"]
    gallery.scales[:] = unpack(state["scales"])
    gallery.known[:] = unpack(state["known"])
    gallery.company[:] = unpack(state["evidence_of_company"])
    associator.company = Company(*state["company"])
    by_label, free, n_created = state["identities"]
    associator.identities.load(
        {label: Identity(gid, created, list(members)) for label, gid, created, members in by_label},
        list(free),
        n_created,
    )
    associator.scorer.calibration = _load_calibration(state["calibration"])
    associator.buddies.load(state["buddies"])
    for first, second, posterior in state["accepted"]:
        associator.accepted.accept(gallery[first], gallery[second], posterior)
    associator.history.entries = [
        PastCalibration(at_s, alpha, expected, {(a, b): m for a, b, m in medians})
        for at_s, alpha, expected, medians in state["history"]
    ]
    associator.n_calibrations = state["n_calibrations"]
    associator.n_until_calibration = state["n_until_calibration"]
    associator.continued = {(c, t): number for c, t, number in state["continued"]}


def _dump_calibration(found: Calibration | None) -> State | None:
    if found is None:
        return None
    return {
        "version": found.version,
        "setting": found.setting,
        "alpha": found.alpha,
        "sigma": found.sigma,
        "grid": [found.grid.first_s, found.grid.ratio, found.grid.n],
        "distance_width": found.distance_width,
        "view": pack(found.view.means),
        "epsilon_s": found.epsilon_s,
        "spread": None if found.spread is None else list(astuple(found.spread)),
        "pairs": [
            {
                "cameras": list(cameras),
                "verdict": str(model.verdict),
                "n_buddies": model.n_buddies,
                "epsilon_s": model.distribution.epsilon_s,
                "relative": model.distribution.relative,
                "times_s": list(model.distribution.times_s),
                "p_travel": pack(model.p_travel),
                "log_time_ratio": pack(model.log_time_ratio),
                "log_distance_ratio": pack(model.log_distance_ratio),
                "log_prior_odds": model.log_prior_odds,
            }
            for cameras, model in found.pairs.items()
        ],
    }


def _load_calibration(state: State | None) -> Calibration | None:
    if state is None:
        return None
    pairs = {}
    for raw in state["pairs"]:
        seen = TravelTimeDistribution(raw["epsilon_s"], raw["relative"])
        for time_s in raw["times_s"]:
            seen.update(time_s)
        pairs[raw["cameras"][0], raw["cameras"][1]] = PairModel(
            verdict=Verdict(raw["verdict"]),
            n_buddies=raw["n_buddies"],
            distribution=seen,
            p_travel=unpack_some(raw["p_travel"]),
            log_time_ratio=unpack_some(raw["log_time_ratio"]),
            log_distance_ratio=unpack_some(raw["log_distance_ratio"]),
            log_prior_odds=raw["log_prior_odds"],
        )
    first_s, ratio, n = state["grid"]
    return Calibration(
        state["version"],
        state["setting"],
        state["alpha"],
        state["sigma"],
        pairs,
        TimeGrid(first_s, ratio, n),
        state["distance_width"],
        View(unpack_some(state["view"])),
        state["epsilon_s"],
        None if state["spread"] is None else Spread(*state["spread"]),
    )


def _dump_tracklet(tracklet: Tracklet) -> list[Any]:
    return [
        tracklet.camera,
        tracklet.start_s,
        tracklet.end_s,
        tracklet.extractor,
        list(tracklet.detection_ids),
        tracklet.track_id,
        dump_box(tracklet.box),
        dump_position(tracklet.position),
        tracklet.track_start_s,
    ]


def _load_tracklet(raw: list[Any], number: int, embedding: NDArray[Any]) -> Tracklet:
    camera, start_s, end_s, extractor, ids, track_id, box, position, track_start_s = raw
    return Tracklet(
        number,
        camera,
        start_s,
        end_s,
        embedding,
        extractor,
        tuple(ids),
        track_id,
        load_box(box),
        load_position(position),
        track_start_s,
    )


def _dump_detection(detection: Detection) -> list[Any]:
    return [
        detection.id,
        detection.camera,
        detection.time_s,
        pack(detection.embedding),
        detection.extractor,
        detection.track_id,
        dump_box(detection.box),
        detection.confidence,
        dump_position(detection.position),
    ]


def _load_detection(raw: list[Any]) -> Detection:
    id_, camera, time_s, embedding, extractor, track_id, box, confidence, position = raw
    return Detection(
        id_,
        camera,
        time_s,
        unpack(embedding),
        extractor,
        track_id,
        load_box(box),
        confidence,
        load_position(position),
    )
