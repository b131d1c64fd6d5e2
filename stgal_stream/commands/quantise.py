"""``quantise``: an 8-bit variant of an extractor, for CPUs. Needs the ``train`` extra."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from stgal_stream.commands.options import config_option, log_options, train_extra
from stgal_stream.commands.pair_source import pair_options, source_of
from stgal_stream.commands.paths import InputFile
from stgal_stream.commands.progress import StepBars, counted
from stgal_stream.configuration import load_config
from stgal_stream.errors import DataError
from stgal_stream.extractor.onnx import OnnxExtractor, variant_path
from stgal_stream.extractor.releases import ABOUT

_EPILOG = """\b
Examples:
  stgal-stream quantise --model market.onnx --embedded stgal-log
  stgal-stream quantise --model market.onnx --pairs associations.jsonl --crops crops
"""


@click.command(epilog=_EPILOG)
@click.option("--model", required=True, type=InputFile(), help="The ONNX file.")
@log_options
@config_option
@pair_options
def quantise(
    model: Path,
    brokers: str,
    embedded: Path | None,
    config_path: Path | None,
    pairs: Path | None,
    crops: Path | None,
) -> None:
    """Make an 8-bit variant of an extractor: about twice as fast on a CPU.

    It is calibrated on crops that the stream has, measured on the stream's own pseudo-pairs, and
    kept beside the model if it loses less than half a point of rank-1: daemons on a CPU then use it
    in the model's place. A release never changes: retrain made its variant, if it was good enough.
    """
    if (model.parent / ABOUT).is_file():
        raise DataError(
            f"{model} is a release, and a release never changes",
            hint="copy the model elsewhere and set embed.model to the copy",
        )
    with train_extra("quantise"):
        from stgal_stream.retraining.variant import MOST_SIGHTINGS, make_variant
    config = load_config(config_path)
    floats = OnnxExtractor(model, providers=("CPUExecutionProvider",), eight_bit=False)
    if not os.access(model.parent, os.W_OK):
        raise DataError(f"{model.parent} cannot be written to: the variant lies beside the model")
    console = Console(stderr=True)
    with (
        source_of(config, brokers, embedded, pairs, crops) as (source, _),
        counted(console) as bars,
    ):
        say = StepBars(bars).say
        data = source.read(
            source.until(),
            floats,
            MOST_SIGHTINGS,
            lambda done, total: say("reading crops", done, total, ""),
        )
        if not len(data.crops):
            raise DataError(f"no crop to calibrate on (left out: {dict(data.left_out)})")
        found = make_variant(
            floats, data, data.crops, lambda what, done, total: say(what, done, total, "")
        )
    click.echo(said_of(found.as_json()))
    if found.kept:
        click.echo(f"made {variant_path(model)}")


def said_of(variant: dict[str, Any]) -> str:
    """What was measured of a variant, in a line."""
    return f"{'kept' if variant['kept'] else 'none'}: {variant['why']}"
