"""A page that a person looks at: the camera graph, learned travel times, identities in time.

One self-contained HTML file: drawings are SVG, crops are inlined, nothing is fetched.
"""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from stgal_stream.experiments.pages.charts import COLOURS, STYLE


@dataclass(frozen=True, slots=True)
class TravelTimes:
    """Travel times of one camera pair in seconds: learned by the stream, and true where known."""

    first: str
    second: str
    learned_s: Sequence[float]
    true_s: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Sighting:
    """One tracklet of an identity: where, when (seconds), and its best crop (JPEG)."""

    camera: str
    start_s: float
    end_s: float
    crop: bytes
    note: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What the page shows."""

    title: str
    subtitle: str
    table: Sequence[Sequence[str]]
    cameras: Sequence[str]
    travel_times: Sequence[TravelTimes]
    identities: Mapping[str, Sequence[Sighting]] = field(default_factory=dict)
    notes: Sequence[str] = ()


def render_html(report: Report) -> str:
    """The page."""
    colours = {c: COLOURS[i % len(COLOURS)] for i, c in enumerate(report.cameras)}
    head, *rows = [[html.escape(cell) for cell in row] for row in report.table]
    table = "<tr>" + "".join(f"<th>{c}</th>" for c in head) + "</tr>"
    table += "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in rows)
    lines = "".join(f"<p class=note>{html.escape(note)}</p>" for note in report.notes)
    panels = "".join(_histogram(t) for t in report.travel_times if len(t.learned_s) >= 5)
    people = "".join(_time_line(name, seen, colours) for name, seen in report.identities.items())
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width,initial-scale=1'>"
        f"<title>{html.escape(report.title)}</title><style>{STYLE}</style>"
        f"<h1>{html.escape(report.title)}</h1><p class=note>{html.escape(report.subtitle)}</p>"
        f"<table>{table}</table>{lines}"
        "<h2>Cameras, and how people go between them</h2>"
        "<p class=note>A line joins two cameras that share people; its width is the number of "
        "associations in the window, its label their median travel time.</p>"
        f"{_graph(report, colours)}"
        "<h2>Learned travel times</h2><p class=note>Blue: learned without labels. Outline: the "
        "truth, where it is known.</p>"
        f"<div class=grid>{panels}</div>"
        "<h2>Some identities along time</h2><p class=note>Each crop is one tracklet; the frame's "
        "colour is its camera.</p>"
        f"{people}</html>"
    )


def _graph(report: Report, colours: dict[str, str]) -> str:
    size, radius = 560, 210
    at = {}
    for i, camera in enumerate(report.cameras):
        angle = 2 * math.pi * i / max(1, len(report.cameras)) - math.pi / 2
        at[camera] = (size / 2 + radius * math.cos(angle), size / 2 + radius * math.sin(angle))
    parts = [f"<svg viewBox='0 0 {size} {size}' width={size} role=img aria-label='camera graph'>"]
    most = max((len(t.learned_s) for t in report.travel_times), default=1)
    labels = []
    for times in report.travel_times:
        if not len(times.learned_s) or times.first == times.second:
            continue
        (x1, y1), (x2, y2) = at[times.first], at[times.second]
        width = 1 + 9 * len(times.learned_s) / most
        parts.append(
            f"<line x1={x1:.0f} y1={y1:.0f} x2={x2:.0f} y2={y2:.0f} stroke='#9aa' "
            f"stroke-width={width:.1f} stroke-opacity=.6 />"
        )
        share = 0.38
        x, y = x1 + (x2 - x1) * share, y1 + (y2 - y1) * share
        median = float(np.median(times.learned_s))
        labels.append(
            f"<text x={x:.0f} y={y:.0f} font-size=12 text-anchor=middle "
            f"paint-order=stroke stroke=white stroke-width=4>{median:.0f} s</text>"
        )
    parts += labels
    for camera, (x, y) in at.items():
        name = html.escape(camera)
        parts.append(
            f"<circle cx={x:.0f} cy={y:.0f} r=28 fill='{colours[camera]}' />"
            f"<text x={x:.0f} y={y + 4:.0f} font-size=12 fill=white text-anchor=middle>"
            f"{name}</text>"
        )
    return "".join(parts) + "</svg>"


def _histogram(times: TravelTimes, n_bins: int = 24) -> str:
    wide, high = 260, 90
    top = float(np.quantile(np.concatenate([times.learned_s, times.true_s]), 0.97)) + 1.0
    learned, _ = np.histogram(times.learned_s, bins=n_bins, range=(0, top))
    bar = wide / n_bins
    scale = high / max(1, learned.max())
    parts = [f"<svg viewBox='0 0 {wide} {high + 16}' width={wide} role=img>"]
    for i, n in enumerate(learned.tolist()):
        parts.append(
            f"<rect x={i * bar:.1f} y={high - n * scale:.1f} width={bar - 1:.1f} "
            f"height={n * scale:.1f} fill='#4269d0' />"
        )
    if len(times.true_s):
        true, _ = np.histogram(times.true_s, bins=n_bins, range=(0, top))
        points = " ".join(
            f"{(i + 0.5) * bar:.1f},{high - n * high / max(1, true.max()):.1f}"
            for i, n in enumerate(true.tolist())
        )
        parts.append(f"<polyline points='{points}' fill=none stroke='#222' stroke-width=1.2 />")
    parts.append(
        f"<text x=0 y={high + 13} font-size=11>0 s</text>"
        f"<text x={wide} y={high + 13} font-size=11 text-anchor=end>{top:.0f} s</text></svg>"
    )
    name = f"{html.escape(times.first)} – {html.escape(times.second)}"
    caption = (
        f"{name}: {len(times.learned_s)} associations, median {np.median(times.learned_s):.0f} s"
    )
    return f"<figure>{''.join(parts)}<figcaption>{caption}</figcaption></figure>"


def _time_line(name: str, seen: Sequence[Sighting], colours: dict[str, str]) -> str:
    ordered = sorted(seen, key=lambda s: s.start_s)
    first, last = ordered[0].start_s, max(s.end_s for s in ordered)
    wide, high = 880, 118
    spread = max(1.0, last - first)
    parts = [f"<svg viewBox='0 0 {wide} {high + 22}' width={wide} role=img>"]
    parts.append(f"<line x1=0 y1={high} x2={wide} y2={high} stroke='#ccc' />")
    free = 0.0
    for sighting in ordered:
        wanted = (sighting.start_s - first) / spread * (wide - 50)
        x = max(wanted, free)
        if x > wide - 48:
            break
        free = x + 52
        colour = colours.get(sighting.camera, "#888")
        data = base64.b64encode(sighting.crop).decode()
        label = html.escape(
            f"{sighting.camera} at {sighting.start_s - first:.0f} s {sighting.note}"
        )
        parts.append(
            f"<g><title>{label}</title><rect x={x:.0f} y=4 width=48 height=92 fill='{colour}' />"
            f"<image x={x + 3:.0f} y=7 width=42 height=86 preserveAspectRatio='xMidYMid slice' "
            f"href='data:image/jpeg;base64,{data}' />"
            f"<text x={x:.0f} y=110 font-size=10>{html.escape(sighting.camera)}</text>"
            f"<line x1={wanted:.0f} y1={high - 4} x2={wanted:.0f} y2={high + 4} stroke='{colour}' "
            "stroke-width=3 /></g>"
        )
    parts.append(f"<text x=0 y={high + 17} font-size=11>0 s</text>")
    parts.append(
        f"<text x={wide} y={high + 17} font-size=11 text-anchor=end>{spread:.0f} s</text></svg>"
    )
    return f"<div class=row><div class=who>{html.escape(name)}</div>{''.join(parts)}</div>"
