"""``evaluate``: the tables of a data set, or the figures of a stream's mapping."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import TaskID
from rich.table import Table

from stgal_stream.commands.existing_log import existing_log
from stgal_stream.commands.options import config_option, log_options
from stgal_stream.commands.paths import InputFile, OutputFile
from stgal_stream.commands.printed_quality import print_boxes, print_judged, print_mapping
from stgal_stream.commands.progress import counted
from stgal_stream.configuration import load_config
from stgal_stream.errors import ConfigError, DataError
from stgal_stream.evaluation.box_quality import box_quality
from stgal_stream.evaluation.datasets import MARKET_CLOCKS, load_dataset
from stgal_stream.evaluation.ground_truth import read_ground_truth
from stgal_stream.evaluation.judged_pairs import judged_pairs
from stgal_stream.evaluation.labelled_set import LabelledSet, embed_dataset, load_embeddings
from stgal_stream.evaluation.mapping_file import score_mapping
from stgal_stream.evaluation.mot_files import read_mot
from stgal_stream.experiments.benchmark import RULES, Benchmark, benchmark
from stgal_stream.experiments.pages.evaluation_page import render_evaluation
from stgal_stream.experiments.printed import PAPER_GAIN_MARKET, PRINTED
from stgal_stream.extractor.onnx import SHIPPED, OnnxExtractor
from stgal_stream.log.port import Log
from stgal_stream.log.reading import records, values
from stgal_stream.replacing import replacing

_EPILOG = """\b
Examples:
  stgal-stream evaluate market1501 --root Market-1501-v15.09.15 --model market.onnx
  stgal-stream evaluate --embeddings features.npz --json tables.json --html tables.html
  stgal-stream evaluate --mapping mapping.csv --truth truth.csv
  stgal-stream evaluate --mot mot --truth MOT17/train
  stgal-stream evaluate --corrections --embedded stgal-log
"""
_DATASETS = ("market1501", "duke", "msmt17")
_NAMES = {
    "p_v": "P_v (appearance)",
    "p_a_paper": "P_a, setting paper",
    "p_a_calibrated": "P_a, setting calibrated",
    "tfusion": "Bayes fusion (TFusion)",
    "st_reid": "logistic fusion (st-reID)",
    "p_a_oracle": "P_a, travel times from labels",
}
_EVERY = 1000
Report = Callable[[str, int, int], None]


@click.command(epilog=_EPILOG)
@click.argument("dataset", required=False, type=click.Choice(_DATASETS))
@click.option("--root", type=click.Path(path_type=Path), help="Where the data set was unpacked.")
@click.option("--model", type=InputFile(), help="ONNX extractor; default: the shipped one.")
@click.option(
    "--clock",
    default=None,
    help=f"market1501: {', '.join(MARKET_CLOCKS)}; duke: official; msmt17: ticks.",
)
@click.option(
    "--starts",
    type=InputFile(),
    help="For the corrected clock: CSV camera,sequence,start_frame instead of the shipped one.",
)
@click.option("--embeddings", type=InputFile(), help="A .npz instead of a data set and model.")
@click.option("--mapping", type=InputFile(), help="What a stream answered.")
@click.option("--mot", type=InputFile(), help="Tracked boxes: what run --mot wrote.")
@click.option(
    "--truth",
    type=InputFile(),
    help="What was true. Of --mapping: replay --truth. Of --mot: MOTChallenge, COCO or CVAT files.",
)
@click.option("--corrections", is_flag=True, help="What operators said of a log's identities.")
@log_options
@config_option
@click.option("--json", "json_path", type=OutputFile(), help="Figures to a file.")
@click.option("--html", "html_path", type=OutputFile(), help="A page to look at.")
def evaluate(
    dataset: str | None,
    root: Path | None,
    model: Path | None,
    clock: str | None,
    starts: Path | None,
    embeddings: Path | None,
    mapping: Path | None,
    mot: Path | None,
    truth: Path | None,
    corrections: bool,
    brokers: str,
    embedded: Path | None,
    config_path: Path | None,
    json_path: Path | None,
    html_path: Path | None,
) -> None:
    """Retrieval tables of a data set or of embeddings; or the figures of a stream's identities."""
    things = (dataset, embeddings, mapping, mot, corrections or None)
    if sum(given is not None for given in things) != 1:
        raise ConfigError(
            "name one thing to evaluate: a data set, --embeddings, --mapping, --mot or "
            "--corrections",
            hint="stgal-stream evaluate --help shows one of each",
        )
    console = Console()
    if dataset is None:
        for_datasets = {"--root": root, "--model": model, "--clock": clock, "--starts": starts}
        _refuse(for_datasets, "a data set")
    if not corrections:
        of_log = {"--brokers": brokers or None, "--embedded": embedded, "--config": config_path}
        _refuse(of_log, "--corrections")
    if mapping is None and mot is None:
        _refuse({"--truth": truth}, "--mapping and --mot")
    if dataset is None and embeddings is None:
        _refuse({"--html": html_path}, "a data set or --embeddings")
        if corrections:
            figures = _of_corrections(console, config_path, brokers, embedded)
        else:
            figures = _of_stream(console, mapping, mot, truth)
        _write_json(json_path, figures)
        return
    with _progress() as report:
        if embeddings is not None:
            data, title = load_embeddings(embeddings), f"{embeddings.name}, embeddings as given"
        else:
            assert dataset is not None
            data, title = _embed(dataset, root, model or SHIPPED, clock, starts, report)
        settings = load_config(None).associate
        everything = replace(settings, calibration_tracklets=max(1, len(data.person)))
        result = benchmark(data, everything, report)
    _print_tables(console, title, data, result, dataset or "market1501")
    _write_json(json_path, result.as_json())
    if html_path is not None:
        _write(html_path, render_evaluation(title, data, result))
        console.print(f"look at  {html_path}")


def _of_corrections(
    console: Console, config_path: Path | None, brokers: str, embedded: Path | None
) -> dict[str, Any]:
    """Prints what operators' words come to, and gives it as plain values."""
    config = load_config(config_path)
    topics = config.topics
    with existing_log(config, brokers, embedded) as log, _progress() as report:
        told = _reported(log, topics.identities, report)
        found = judged_pairs(values(log, topics.corrections), told)
    if found is None:
        raise DataError(
            "the log holds no correction",
            hint="say who is who on the page (stgal-stream web), or by stgal-stream audit "
            "--correct; the daemon must have read it",
        )
    print_judged(console, found)
    return found.as_json()


def _reported(log: Log, topic: str, report: Report) -> Iterator[bytes]:
    """The values of a topic, with a bar."""
    before, total = 0, sum(log.end(topic, p) for p in range(log.partitions(topic)))
    for partition in range(log.partitions(topic)):
        for record in records(log, topic, partition):
            if record.offset % _EVERY == 0:
                report("identity events", before + record.offset, total)
            yield record.value
        before += log.end(topic, partition)
    report("identity events", total, total)


def _of_stream(
    console: Console, mapping: Path | None, mot: Path | None, truth: Path | None
) -> dict[str, Any]:
    """Prints the figures of a stream, and gives them as plain values."""
    if truth is None:
        raise ConfigError("--mapping and --mot need --truth", hint="what they are measured by")
    if mapping is not None:
        found = score_mapping(mapping, truth)
        print_mapping(console, found)
        return found.as_json()
    assert mot is not None
    boxes = box_quality(read_mot(mot, is_truth=False), read_ground_truth(truth))
    print_boxes(console, boxes)
    return boxes.as_json()


def _refuse(options: Mapping[str, object], whose: str) -> None:
    """An option that would do nothing is the operator's mistake."""
    for name, value in options.items():
        if value is not None:
            raise ConfigError(f"{name} is for {whose} alone")


def _embed(
    dataset: str,
    root: Path | None,
    model: Path,
    clock: str | None,
    starts: Path | None,
    report: Report,
) -> tuple[LabelledSet, str]:
    """A data set, embedded, and a line that says what it is."""
    if root is None:
        raise ConfigError(f"{dataset} needs --root", hint="the directory where it was unpacked")
    images = load_dataset(dataset, root, clock=clock or "corrected", starts=starts)
    extractor = OnnxExtractor(model)
    n = sum(image.split != "train" for image in images)
    data = embed_dataset(images, extractor, lambda done: report("embedding", done, n))
    used = clock or {"duke": "official", "msmt17": "ticks"}.get(dataset, "corrected")
    bits = " in 8 bits" if extractor.eight_bit else ""
    title = f"{dataset} at {root.name}, clock {used}, extractor {extractor.version}{bits}"
    if data.n_broken:
        title += f"; {data.n_broken} images could not be read and are left out"
    return data, title


@contextmanager
def _progress() -> Iterator[Report]:
    """Bars by step, on standard error."""
    with counted(Console(stderr=True)) as progress:
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done)

        yield report


def _print_tables(
    console: Console, title: str, data: LabelledSet, result: Benchmark, dataset: str
) -> None:
    n_distractors = int((data.person[data.gallery] == 0).sum())
    console.print(
        f"{title}\n{result.retrieval['p_v'].n_queries} queries, {len(data.gallery)} gallery images "
        f"({n_distractors} distractors), {len(data.camera_names)} cameras"
    )
    table = Table(title="Retrieval, percent")
    for name in ("score", "rank-1", "rank-5", "rank-10", "mAP", "mINP"):
        table.add_column(name, justify="left" if name == "score" else "right")
    for rule in RULES:
        r = result.retrieval[rule]
        values = (r.rank(1), r.rank(5), r.rank(10), r.mAP, r.mINP)
        table.add_row(_NAMES[rule], *(f"{100 * v:.1f}" for v in values))
    console.print(table)
    pairs = Table(title="Pairs across cameras (distractors and junk are nobody)")
    for name in ("selection", "pairs", "precision", "recall"):
        pairs.add_column(name, justify="left" if name == "selection" else "right")
    labels = {"threshold": "P_v > sigma", "bbp": "BBP", "ibbs": "IBBS"}
    for name, label in labels.items():
        p = result.pairs[name]
        pairs.add_row(label, str(p.n), f"{p.precision:.3f}", f"{p.recall:.3f}")
    console.print(pairs)
    _print_calibration(console, result)
    printed = Table(title=f"Printed elsewhere for {dataset}, percent; not measured here")
    for name in ("method", "printed in", "rank-1", "mAP"):
        printed.add_column(name)
    for row in PRINTED:
        figures = ["-" if v is None else f"{v:.1f}" for v in row.on(dataset)]
        printed.add_row(row.method, row.source, *figures)
    console.print(printed)
    rank1, mean = PAPER_GAIN_MARKET
    console.print(
        f"ST-GAL (Wu et al., ICIP 2020) printed {rank1:+.1f} rank-1 and {mean:+.1f} mAP of P_a "
        f"over P_v on Market-1501.\n{result.seconds:.0f} s, {result.peak_mb:.0f} MB at the peak"
    )


def _print_calibration(console: Console, result: Benchmark) -> None:
    figures = result.as_json()["calibration"]
    verdicts = [m.link for m in result.calibration.pairs.values()]
    counts = ", ".join(
        f"{verdicts.count(v)} {v.replace('_', ' ')}" for v in dict.fromkeys(verdicts)
    )
    if not figures["learned"]:
        console.print(
            "[bold]nothing learned:[/bold] no camera pair's best buddies differ in time from all "
            "pairs; the cameras share no people, or the embeddings do not tell people apart"
        )
    console.print(
        f"calibration without labels: alpha {figures['alpha']:.4g}, sigma {figures['sigma']:.4g}, "
        f"camera pairs: {counts or 'none'}\n"
        f"expected precision of the {figures['n_pairs']} pairs by IBBS "
        f"{figures['expected_precision']:.3f}, true {result.pairs['ibbs'].precision:.3f}"
    )


def _write_json(path: Path | None, content: object) -> None:
    if path is not None:
        _write(path, json.dumps(content, indent=2) + "\n")


def _write(path: Path, content: str) -> None:
    with replacing(path) as out:
        out.write_text(content)
