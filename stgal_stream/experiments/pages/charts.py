"""Charts and looks of the pages: SVG as text, nothing is fetched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stgal_stream.types import Floats

WIDE_PX, HIGH_PX, LEFT_PX = 460, 240, 34
COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5")


STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#222}
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.2rem}
table{border-collapse:collapse}
td,th{padding:.25rem .8rem;text-align:right;border-bottom:1px solid #ddd}
td:first-child,th:first-child{text-align:left}.note{color:#666}
.row{display:flex;align-items:center;gap:.6rem;margin:.5rem 0}.row .who{width:9rem;flex:none}
.grid{display:flex;flex-wrap:wrap;gap:1rem}figure{margin:0}figcaption{font-size:.8rem;color:#666}
"""


def frame(inner: str, low: str, high: str) -> str:
    return (
        f"<svg viewBox='0 0 {WIDE_PX + LEFT_PX} {HIGH_PX + 18}' width={WIDE_PX + LEFT_PX} role=img>"
        f"<rect x={LEFT_PX} y=0 width={WIDE_PX} height={HIGH_PX} fill=none stroke='#ccc' />{inner}"
        f"<text x={LEFT_PX} y={HIGH_PX + 14} font-size=11>{low}</text>"
        f"<text x={LEFT_PX + WIDE_PX} y={HIGH_PX + 14} font-size=11 text-anchor=end>{high}</text>"
        "<text x=2 y=11 font-size=11>1</text>"
        f"<text x=2 y={HIGH_PX} font-size=11>0</text></svg>"
    )


def curve(values: Sequence[float] | Floats, colour: str, top: float = 1.0) -> str:
    n = max(1, len(values) - 1)
    points = " ".join(
        f"{LEFT_PX + i * WIDE_PX / n:.1f},{HIGH_PX - v / top * HIGH_PX:.1f}"
        for i, v in enumerate(values)
    )
    return f"<polyline points='{points}' fill=none stroke='{colour}' stroke-width=1.6 />"


def line_chart(
    curves: Mapping[str, Sequence[float] | Floats], unit: str, low: int, high: int
) -> str:
    """Curves between 0 and 1, with their names."""
    inner = "".join(curve(v, COLOURS[i % 8]) for i, v in enumerate(curves.values()))
    legend = " ".join(
        f"<span style='color:{COLOURS[i % 8]}'>{name}</span>" for i, name in enumerate(curves)
    )
    return frame(inner, f"{unit} {low}", str(high)) + f"<p>{legend}</p>"
