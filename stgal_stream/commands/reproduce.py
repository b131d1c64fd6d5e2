"""``stgal-stream reproduce``: the paper's tables from one command."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from stgal_stream.commands.options import (
    LOSS_NAMES,
    SEED,
    batch_pairs_option,
    precision_option,
    set_up_logging,
    stop_on_signals,
    train_extra,
)
from stgal_stream.commands.paths import InputFile, OutputFile
from stgal_stream.commands.progress import StepBars, counted
from stgal_stream.commands.recipe import recipe_option, training_settings
from stgal_stream.errors import ConfigError
from stgal_stream.evaluation.datasets import MARKET_CLOCKS, load_dataset
from stgal_stream.experiments.pages.reproduction_page import (
    as_markdown,
    render_reproduction,
    table_of,
)
from stgal_stream.experiments.printed import printed_as_json
from stgal_stream.extractor.crops import CropFormat
from stgal_stream.extractor.onnx import SHIPPED, OnnxExtractor
from stgal_stream.replacing import replacing

if TYPE_CHECKING:  # torch, which an edge server lacks
    from stgal_stream.experiments.reproduction import Asked

_EPILOG = """\b
Examples:
  stgal-stream reproduce table1 --dataset market1501 --root Market-1501-v15.09.15 --baseline a.onnx
  stgal-stream reproduce table3 --dataset duke --root DukeMTMC-reID --iterations 300 --json t3.json
  stgal-stream reproduce table3 --dataset duke --root DukeMTMC-reID --row baseline_a_random
"""


@click.command(epilog=_EPILOG)
@click.argument("table", type=click.Choice(["table1", "table2", "table3"]))
@click.option("--dataset", required=True, type=click.Choice(["market1501", "duke", "msmt17"]))
@click.option(
    "--root",
    required=True,
    type=click.Path(path_type=Path),
    help="Where it was unpacked, or what replay schedule --write-dataset wrote.",
)
@click.option("--clock", help=f"market1501: {', '.join(MARKET_CLOCKS)}; duke: official.")
@click.option(
    "--baseline",
    type=InputFile(),
    help="Baseline A; default: the shipped one.",
)
@click.option("--row", "only", multiple=True, help="Only this row; may be given again.")
@recipe_option
@click.option(
    "--loss",
    type=click.Choice(LOSS_NAMES),
    help="Of the trainings on pairs. Default: the recipe's.",
)
@click.option(
    "--iterations",
    type=click.IntRange(min=1),
    help="Of each training. Default: 800 (recipe paper: 30,000); Baseline B's takes 150 at most.",
)
@batch_pairs_option
@precision_option
@click.option("--seed", default=0, show_default=True, type=SEED)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("build/reproduce"), show_default=True
)
@click.option("--json", "json_path", type=OutputFile(), help="Figures to a file too.")
def reproduce(
    table: str,
    dataset: str,
    root: Path,
    clock: str | None,
    baseline: Path | None,
    only: tuple[str, ...],
    recipe: str,
    loss: str | None,
    iterations: int | None,
    batch_pairs: int | None,
    precision: str,
    seed: int,
    out: Path,
    json_path: Path | None,
) -> None:
    """Baselines before and after association learning, P_v and P_a, beside what was printed.

    Baseline A is an extractor as it is; Baseline B is A trained on what each camera alone tells
    apart. Each is trained on the pairs that the training split gives as a stream without labels, by
    BBP and by IBBS (ST-GAL); table2 adds other fusions of time, table3 random negatives. The same
    command goes on where it was stopped; rows that are there stay and are shown too.
    """
    with train_extra("reproduce"):
        from stgal_stream.experiments.reproduction import ROWS, Asked, Reproduction, Stopped
        from stgal_stream.training.peers import Peers
    _check(table, only, ROWS[table])
    set_up_logging("warning")
    path = baseline or SHIPPED
    form, version = _form_of(path)
    asked_for = training_settings(recipe, seed, precision).precision
    chosen = Peers.alone().precision_of(asked_for, form)
    training = training_settings(
        recipe, seed, chosen, loss=loss, iterations=iterations, n_pairs=batch_pairs
    )
    within = training_settings(recipe, seed, chosen, within_cameras=True)
    within = replace(within, iterations=min(within.iterations, training.iterations))
    images = load_dataset(dataset, root, clock=clock or "corrected")
    about = {
        "dataset": dataset,
        "root": root.name,
        "images": len(images),
        "clock": clock or {"duke": "official", "msmt17": "ticks"}.get(dataset, "corrected"),
        "baseline": version,
        "crop": [form.height_px, form.width_px],
    }
    asked = Asked(images, path, training, within, about)
    console, stop = Console(stderr=True), threading.Event()
    with counted(console) as bars, stop_on_signals(stop):
        try:
            found = Reproduction(asked, out, stop, StepBars(bars).say).run(only or ROWS[table])
        except Stopped:
            console.print(
                f"stopped; the same command goes on from here ({out} holds crops until it is done)"
            )
            raise click.Abort from None
    rows = {name: found[name] for name in ROWS[table] if name in found}
    _publish(table, asked, rows, out, json_path)


def _check(table: str, only: tuple[str, ...], rows: Sequence[str]) -> None:
    """Before hours of work: whether its rows and its file make sense.

    Raises:
        ConfigError: they do not.
    """
    unknown = [name for name in only if name not in rows]
    if unknown:
        raise ConfigError(f"{table} has no row {unknown[0]}", hint=f"one of {', '.join(rows)}")


def _form_of(path: Path) -> tuple[CropFormat, str]:
    """The crops that an extractor takes, and its version."""
    extractor = OnnxExtractor(path, eight_bit=False)
    return extractor.form, extractor.version


def _publish(
    table: str, asked: Asked, rows: dict[str, dict[str, Any]], out: Path, json_path: Path | None
) -> None:
    """One JSON, one Markdown, one page, and the table in the terminal."""
    about, training = asked.about, asked.training
    printed = printed_as_json(about["dataset"])
    title = f"{table} on {about['dataset']} ({about['root']})"
    height, width = about["crop"]
    line = (
        f"{about['images']} images, clock {about['clock']}; Baseline A is {about['baseline']}, "
        f"crops of {height} x {width}; {training.iterations} iterations of {training.loss} by "
        f"{training.optimiser} in {training.precision}, {training.n_pairs} pairs a batch, seed "
        f"{training.seed}; Baseline B by "
        f"{asked.within_cameras.iterations} of {asked.within_cameras.loss}. "
        "The paper: 30000 iterations of 256 x 128."
    )
    told = {name: {**row, "about": about} for name, row in rows.items()}
    content = json.dumps({**told, "printed": printed}, indent=1) + "\n"
    texts = {
        out / f"{table}.json": content,
        out / f"{table}.md": as_markdown(title, line, table, rows, printed),
        out / f"{table}.html": render_reproduction(title, line, table, rows, printed),
    }
    if json_path is not None:
        texts[json_path] = content
    for path, text in texts.items():
        with replacing(path) as made:
            made.write_text(text)
    console = Console()
    head, *lines = table_of(table, rows)
    shown = Table(title=title)
    for name in head:
        is_name = name == "model"
        shown.add_column(name, justify="left" if is_name else "right", no_wrap=is_name)
    for cells in lines:
        shown.add_row(*cells)
    console.print(line)
    console.print(shown)
    n_broken = max((row.get("n_broken", 0) for row in rows.values()), default=0)
    if n_broken:
        console.print(f"{n_broken} images of the test split could not be read and take no part")
    console.print(f"look at  {out / f'{table}.html'}")
