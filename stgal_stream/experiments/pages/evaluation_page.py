"""The page of an evaluation: curves, distributions, confusions. Self-contained HTML with SVG."""

from __future__ import annotations

import base64
import html
from pathlib import Path

import numpy as np

from stgal_stream.evaluation.labelled_set import LabelledSet
from stgal_stream.experiments.benchmark import RULES, Benchmark
from stgal_stream.experiments.pages.charts import (
    HIGH_PX,
    LEFT_PX,
    STYLE,
    WIDE_PX,
    curve,
    frame,
    line_chart,
)


def render_evaluation(title: str, data: LabelledSet, result: Benchmark) -> str:
    """The page."""
    parts = [
        "<h2>Cumulative matching</h2>",
        line_chart({r: np.array(result.retrieval[r].cmc) for r in RULES}, "rank", 1, 50),
        "<h2>Pairs: BBP against IBBS</h2>",
        _pairs(result),
        "<h2>Expected against true precision</h2><p class=note>Accepted pairs by their posterior, "
        "found without labels; the diagonal is right.</p>",
        _reliability(result),
        "<h2>Distances across cameras</h2><p class=note>Blue: one person. Grey: different people. "
        "Red: P_v at the calibrated alpha.</p>",
        _distances(result),
        "<h2>Travel times</h2><p class=note>Blue: learned without labels. Outline: the truth. "
        "The axis is that of the time grid, finer near zero.</p><div class=grid>",
        *(_travel_times(result, pair) for pair in sorted(result.calibration.pairs)),
        "</div>",
        _confusions(data, result),
    ]
    rows = "".join(
        f"<tr><td>{r}</td>"
        + "".join(
            f"<td>{100 * v:.1f}</td>"
            for v in (
                result.retrieval[r].rank(1),
                result.retrieval[r].rank(5),
                result.retrieval[r].rank(10),
                result.retrieval[r].mAP,
                result.retrieval[r].mINP,
            )
        )
        + "</tr>"
        for r in RULES
    )
    name = html.escape(title)
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width,initial-scale=1'>"
        f"<title>{name}</title><style>{STYLE}</style><h1>{name}</h1>"
        "<table><tr><th>score</th><th>rank-1</th><th>rank-5</th><th>rank-10</th><th>mAP</th>"
        f"<th>mINP</th></tr>{rows}</table>{''.join(parts)}</html>"
    )


def _pairs(result: Benchmark) -> str:
    rows = "".join(
        f"<tr><td>{name}</td><td>{p.n}</td><td>{p.precision:.3f}</td><td>{p.recall:.3f}</td></tr>"
        for name, p in result.pairs.items()
    )
    head = "<tr><th>selection</th><th>pairs</th><th>precision</th><th>recall</th></tr>"
    return f"<table>{head}{rows}</table>"


def _reliability(result: Benchmark) -> str:
    most = max((n for _, _, n in result.reliability), default=1)
    dots = "".join(
        f"<circle cx={LEFT_PX + expected * WIDE_PX:.1f} cy={HIGH_PX - true * HIGH_PX:.1f} "
        f"r={3 + 9 * (n / most) ** 0.5:.1f} fill='#4269d0' fill-opacity=.6>"
        f"<title>{n} pairs: expected {expected:.3f}, true {true:.3f}</title></circle>"
        for expected, true, n in result.reliability
    )
    line = f"<line x1={LEFT_PX} y1={HIGH_PX} x2={LEFT_PX + WIDE_PX} y2=0 stroke='#999' />"
    return frame(line + dots, "expected 0", "1")


def _distances(result: Benchmark) -> str:
    edges, same, other = result.distances
    parts = []
    for counts, colour in ((other, "#999"), (same, "#4269d0")):
        if counts.sum():
            parts.append(curve(counts / counts.max(), colour))
    middle = 0.5 * (edges[1:] + edges[:-1])
    parts.append(curve(np.exp(-result.calibration.alpha * middle), "#d33"))
    return frame("".join(parts), "distance 0", f"{edges[-1]:.3g}")


def _travel_times(result: Benchmark, pair: tuple[str, str]) -> str:
    if pair[0] == pair[1]:
        return ""
    model, truth = result.calibration.pairs[pair], result.true_p_travel.get(pair)
    parts = []
    if model.p_travel is not None:
        parts.append(curve(model.p_travel / model.p_travel.max(), "#4269d0"))
    if truth is not None:
        parts.append(curve(truth / truth.max(), "#222"))
    end_s = result.calibration.grid.edges_s()[-2]
    name = html.escape(f"{pair[0]} – {pair[1]}")
    caption = (
        f"{name}: {model.link.replace('_', ' ')}, {model.n_buddies} best buddies, "
        f"{result.n_true_by_pair.get(pair, 0)} true pairs"
    )
    svg = frame("".join(parts), "0 s", f"{end_s:.0f} s")
    return f"<figure>{svg}<figcaption>{caption}</figcaption></figure>"


def _confusions(data: LabelledSet, result: Benchmark) -> str:
    if not data.paths or not result.confusions:
        return ""
    shown = "".join(
        f"<figure>{_image(data.paths[c.query])}{_image(data.paths[c.found])}<figcaption>"
        f"{data.person[c.query]} ({html.escape(data.camera_names[data.camera[c.query]])}) "
        f"taken for {data.person[c.found]} "
        f"({html.escape(data.camera_names[data.camera[c.found]])})</figcaption></figure>"
        for c in result.confusions
    )
    return f"<h2>Wrong first matches</h2><div class=grid>{shown}</div>"


def _image(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f"<img height=128 alt='' src='data:image/jpeg;base64,{data}'>"
