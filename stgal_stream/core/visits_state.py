"""Visits as plain values, and back: the open ones, the sample and what it said."""

from __future__ import annotations

from stgal_stream.core.box_model import BoxModel
from stgal_stream.core.plain_values import (
    State,
    dump_box,
    dump_open,
    load_box,
    load_open,
    pack,
    unpack,
    unpack_some,
)
from stgal_stream.core.visits import OpenVisit, VisitBox, Visits, single_box


def dump_visits(visits: Visits) -> State:
    """Everything that ``visits`` knows."""
    sample = visits.sample
    return {
        "open": [
            {
                "tracklet": dump_open(visit.tracklet),
                "newest": [[pack(b.embedding), b.time_s, dump_box(b.box)] for b in visit.newest],
            }
            for here in visits.open.values()
            for visit in here
        ],
        "cameras": list(sample.camera_names),
        "first": sample.first,
        "sample": [
            [t.camera, t.start_s, t.extractor, t.id, dump_box(t.box)] for t in sample.tracklets
        ],
        "embeddings": pack(sample.embeddings),
        "model": _dump_model(visits.model),
        "n_until_calibration": visits.n_until_calibration,
    }


def load_visits(visits: Visits, state: State) -> None:
    """Takes back what ``dump_visits`` gave."""
    for raw in state["open"]:
        opened = load_open(raw["tracklet"])
        newest = [VisitBox(unpack(e), time_s, load_box(box)) for e, time_s, box in raw["newest"]]
        visits.open.setdefault(opened.camera, []).append(OpenVisit(opened, newest))
    visits.sample.first = state["first"]
    for camera in state["cameras"]:
        visits.sample.camera_index(camera)
    embeddings = unpack(state["embeddings"])
    for i, (camera, time_s, extractor, id_, box) in enumerate(state["sample"]):
        number = state["first"] + i
        single = single_box(number, camera, time_s, embeddings[i], extractor, id_, load_box(box))
        visits.sample.add(single, time_s)
    visits.model = _load_model(state["model"])
    visits.n_until_calibration = state["n_until_calibration"]


def _dump_model(model: BoxModel | None) -> State | None:
    if model is None:
        return None
    return {
        "nulls": [[camera, pack(null)] for camera, null in model.nulls.items()],
        "apart": pack(model.apart),
        "at_once": pack(model.at_once),
    }


def _load_model(state: State | None) -> BoxModel | None:
    if state is None:
        return None
    nulls = {camera: unpack(null) for camera, null in state["nulls"]}
    return BoxModel(nulls, unpack_some(state["apart"]), unpack_some(state["at_once"]))
