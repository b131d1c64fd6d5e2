"""The paper's tables as measured here: Markdown, and a self-contained page with curves."""

from __future__ import annotations

import html
from typing import Any

import numpy as np

from stgal_stream.experiments.pages.charts import STYLE, line_chart

Rows = dict[str, dict[str, Any]]
_FUSIONS = {
    "p_a_paper": "P_a paper",
    "tfusion": "TFusion",
    "st_reid": "st-reID",
    "p_a_oracle": "P_a labels",
}
_SMOOTHED = 20


def names_of(row: str) -> str:
    """``baseline_a_st_gal`` -> ``Baseline A, ST-GAL (IBBS)``."""
    baseline, way = row[: len("baseline_a")], row[len("baseline_a_") :]
    ways = {
        "": "",
        "bbp": ", trained on BBP",
        "st_gal": ", ST-GAL (IBBS)",
        "random": ", IBBS with random negatives",
    }
    return f"Baseline {baseline[-1].upper()}{ways[way]}"


def table_of(table: str, rows: Rows) -> list[list[str]]:
    """The table's head and lines; figures in percent. Table 2 has the other fusions beside P_a."""
    wide = table == "table2"
    head = ["model", "P_v rank-1", "P_v mAP", "P_a rank-1", "P_a mAP"]
    head += [f"{name} rank-1" for name in _FUSIONS.values()] if wide else []
    lines = [[*head, "pairs", "right", "seconds"]]
    for name, row in rows.items():
        figures = [row[kind][key] for kind in ("p_v", "p_a") for key in ("rank1", "mAP")]
        figures += [row["fusions"][kind]["rank1"] for kind in _FUSIONS] if wide else []
        pairs = row.get("pairs")
        lines.append(
            [
                names_of(name),
                *(f"{100 * v:.1f}" for v in figures),
                str(pairs["n"]) if pairs else "-",
                f"{100 * pairs['precision']:.1f}" if pairs else "-",
                f"{row['seconds']:.0f}",
            ]
        )
    return lines


def as_markdown(title: str, about: str, table: str, rows: Rows, printed: dict[str, Any]) -> str:
    """The results as text to keep."""
    head, *lines = table_of(table, rows)
    text = [f"# {title}", "", about, "", _line(head), _line(["---"] * len(head))]
    text += [_line(line) for line in lines]
    text += [f"\n{names_of(n)}: {row['note']}." for n, row in rows.items() if "note" in row]
    text += ["", "Printed elsewhere, not measured here (percent):", ""]
    text += [_line(line) for line in _printed(printed)]
    return "\n".join(text) + "\n"


def render_reproduction(
    title: str, about: str, table: str, rows: Rows, printed: dict[str, Any]
) -> str:
    """The page."""
    matching = {names_of(name): row["cmc"] for name, row in rows.items()}
    losses = {names_of(n): _falling(row["losses"]) for n, row in rows.items() if "losses" in row}
    name = html.escape(title)
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width,initial-scale=1'>"
        f"<title>{name}</title><style>{STYLE}</style><h1>{name}</h1>"
        f"<p class=note>{html.escape(about)}</p>{_table(table_of(table, rows))}"
        f"<h2>Cumulative matching by P_v</h2>{line_chart(matching, 'rank', 1, 20)}"
        "<h2>Training loss, as a share of its largest</h2>"
        f"{line_chart(losses, 'start', 0, 1)}"
        f"<h2>Printed elsewhere, not measured here</h2>{_table(_printed(printed))}</html>"
    )


def _falling(losses: list[float]) -> list[float]:
    """Smoothed, and scaled to what a chart between 0 and 1 shows."""
    n = min(_SMOOTHED, len(losses))
    smooth = np.convolve(losses, np.ones(n) / n, mode="valid")
    found: list[float] = (smooth / max(float(smooth.max()), 1e-12)).tolist()
    return found


def _printed(printed: dict[str, Any]) -> list[list[str]]:
    lines = [["method", "rank-1", "mAP"], ["---", "---", "---"]]
    for name, figures in printed["works"].items():
        lines.append([name, *("-" if v is None else f"{100 * v:.1f}" for v in figures.values())])
    for name, gain in printed.get("st_gal_gain", {}).items():
        values = (gain.get("rank1"), gain.get("mAP"))
        label = f"ST-GAL, gain by {name.replace('_', ' ')}"
        lines.append([label, *("-" if v is None else f"{100 * v:+.1f}" for v in values)])
    return lines


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _table(lines: list[list[str]]) -> str:
    shown = [line for line in lines if line[0] != "---"]
    rows = [
        "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in line) + "</tr>"
        for tag, line in zip(["th"] + ["td"] * (len(shown) - 1), shown, strict=True)
    ]
    return f"<table>{''.join(rows)}</table>"
