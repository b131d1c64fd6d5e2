"""The demo's results -> what the report page shows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from stgal_stream.experiments.pages.report import Report, Sighting, TravelTimes, render_html
from stgal_stream.experiments.simulation.site import SimulatedSite
from stgal_stream.wire.fields import parse_time_s
from stgal_stream.wire.mapping import Mapping

_N_IDENTITIES = 10
_N_CROPS = 14
_TRACK_GAP_S = 3.0

Event = dict[str, Any]


def demo_page(
    source: SimulatedSite,
    summary: dict[str, Any],
    found: Mapping,
    identities: list[Event],
    associations: list[Event],
    crop: Callable[[Event], bytes],
) -> str:
    """The page of one demo; ``crop`` gives the JPEG at a place in the log."""
    quality = summary["quality"]
    head = ("method", "precision", "recall", "IDF1", "identities")
    rows = [
        (
            name,
            f"{q['precision']:.3f}",
            f"{q['recall']:.3f}",
            f"{q['idf1']:.3f}",
            str(q["n_identities"]),
        )
        for name, q in quality.items()
    ]
    return render_html(
        Report(
            title="stgal-stream: a simulated site, tracked online",
            subtitle=(
                f"Seed {summary['seed']}, {summary['cameras']} cameras, {summary['detections']} "
                f"detections in {summary['seconds']} s. Simulated and rendered people: not a "
                "result on any data set. Pairs across cameras, final identities."
            ),
            table=[head, *rows],
            cameras=source.cameras,
            travel_times=_travel_times(source, associations),
            identities=_identities(found, identities, crop),
        )
    )


def _travel_times(source: SimulatedSite, associations: list[Event]) -> list[TravelTimes]:
    accepted: dict[str, Event] = {}
    for event in associations:
        if event["type"] == "accepted":
            accepted[event["pairId"]] = event
        else:
            accepted.pop(event["pairId"], None)
    learned: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in accepted.values():
        first, second = sorted((event["query"]["sensorId"], event["gallery"]["sensorId"]))
        learned[first, second].append(event["evidence"]["travelTimeSeconds"])
    true = _true_travel_times(source)
    pairs = sorted(learned, key=lambda pair: -len(learned[pair]))
    return [TravelTimes(a, b, learned[a, b], true.get((a, b), ())) for a, b in pairs]


def _true_travel_times(source: SimulatedSite) -> dict[tuple[str, str], list[float]]:
    """Gaps between all visits of one person, by camera pair."""
    visits: dict[int, list[list[Any]]] = defaultdict(list)
    for label in source.truth():
        if label.person <= 0:
            continue
        mine = visits[label.person]
        open_visit = next((v for v in reversed(mine) if v[0] == label.camera), None)
        if open_visit is not None and label.time_s - open_visit[2] <= _TRACK_GAP_S:
            open_visit[2] = label.time_s
        else:
            mine.append([label.camera, label.time_s, label.time_s])
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for mine in visits.values():
        for i, (camera, start_s, end_s) in enumerate(mine):
            for other, other_start_s, other_end_s in mine[:i]:
                first, second = sorted((camera, other))
                gap_s = max(0.0, start_s - other_end_s, other_start_s - end_s)
                found[first, second].append(gap_s)
    return found


def _identities(
    found: Mapping, events: list[Event], crop: Callable[[Event], bytes]
) -> dict[str, list[Sighting]]:
    """The identities seen in most cameras, with a crop of each tracklet."""
    tracklets: dict[str, list[Event]] = defaultdict(list)
    final = {row.detection_id: row.global_id for row in found}
    for event in events:
        if event["type"] in ("created", "joined"):
            tracklet = event["tracklet"]
            tracklets[final[tracklet["id"]]].append(tracklet)
    ranked = sorted(
        tracklets,
        key=lambda g: (-len({t["sensorId"] for t in tracklets[g]}), -len(tracklets[g]), g),
    )
    return {
        f"identity {name[:8]}": [
            Sighting(
                t["sensorId"], parse_time_s(t["start"]), parse_time_s(t["end"]), crop(t["crop"])
            )
            for t in tracklets[name][:_N_CROPS]
        ]
        for name in ranked[:_N_IDENTITIES]
    }
