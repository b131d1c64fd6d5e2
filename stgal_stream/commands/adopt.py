"""``stgal-stream adopt``: a model from a public zoo, without hand-written metadata."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click

from stgal_stream.commands.paths import InputFile
from stgal_stream.errors import ConfigError, ModelError
from stgal_stream.extractor import adopted
from stgal_stream.extractor.adopted import Adopted
from stgal_stream.extractor.model_files import digest_of, files_of
from stgal_stream.extractor.onnx import OnnxExtractor, open_session
from stgal_stream.extractor.preprocessing import Decision, decide
from stgal_stream.extractor.providers import CPU
from stgal_stream.extractor.signature import Signature
from stgal_stream.extractor.trial import tried
from stgal_stream.settings import PRESETS, EmbedSettings

_TRIPLE = (float, float, float)


@click.command()
@click.argument("model", type=InputFile())
@click.option("--preset", type=click.Choice(PRESETS), help="Preprocessing of a zoo.")
@click.option("--mean", type=_TRIPLE, help="Mean of each colour, in the units of --range.")
@click.option("--std", type=_TRIPLE, help="Standard deviation of each colour.")
@click.option("--range", "top", type=click.Choice(("1", "255")), default="1", show_default=True,
              help="Pixels go from 0 to this before mean and std.")  # fmt: skip
@click.option("--size", type=(int, int), metavar="HEIGHT WIDTH", help="Crops, where any are taken.")
@click.option("--colour", type=click.Choice(("rgb", "bgr")), help="Order of colours.")
@click.option("--interpolation", type=click.Choice(("bilinear", "bicubic")), help="Resizing.")
@click.option("--output", help="The output that is the features.")
@click.option("--name", help="Its name in embeddings; default: the file's.")
def adopt(
    model: Path,
    preset: str | None,
    mean: tuple[float, float, float] | None,
    std: tuple[float, float, float] | None,
    top: str,
    size: tuple[int, int] | None,
    colour: str | None,
    interpolation: str | None,
    output: str | None,
    name: str | None,
) -> None:
    """Decide how an ONNX model's crops go in and its features come out.

    Looks into the model, asks what it cannot know, runs the self-test and writes MODEL.stgal.json
    beside it. `run --model MODEL` then uses it.
    """
    if (mean is None) != (std is None):
        raise ConfigError("--mean and --std go together")
    files = files_of(model)
    signature = _signature(model, output)
    click.echo(f"crops go into {signature.image}, features come out of {signature.output}")
    for side in signature.sides:
        click.echo(f"{side} is fed with the first camera for all crops")
    if signature.batch is not None:
        click.echo(f"it takes batches of {signature.batch} only: more are run one after the other")
    given = None if mean is None or std is None else _scaled(mean, std, float(top))
    decision = _decided(model, signature, preset or ("unit" if given else ""), size)
    form = decision.form
    if given is not None:
        form = replace(form, mean=given[0], std=given[1])
    form = replace(
        form, colour=colour or form.colour, interpolation=interpolation or form.interpolation
    )
    for reason in decision.why:
        if given is None or "preset" not in reason:
            click.echo(reason)
    if not form.is_possible:
        raise ConfigError("--std must be above 0, and --size between 8 and 2048 pixels")
    about = Adopted(
        digest_of(files), name or model.stem, form.height_px, form.width_px, form.mean, form.std,
        form.colour, form.interpolation, signature.output.name,
    )  # fmt: skip
    _write(model, about)


def _write(model: Path, about: Adopted) -> None:
    """Writes the decisions; a model that then fails its self-test keeps what it had."""
    path = adopted.path_of(model)
    before = path.read_bytes() if path.is_file() else None
    adopted.write(model, about)
    try:
        tried(model, {}, **EmbedSettings().limits)
        extractor = OnnxExtractor(model)
    except ModelError:
        if before is None:
            path.unlink()
        else:
            path.write_bytes(before)
        raise
    form = extractor.form
    click.echo(
        f"crops of {form.height_px} x {form.width_px}, {form.colour}, {form.interpolation}, mean "
        f"{_rounded(form.mean)}, std {_rounded(form.std)} of pixels from 0 to 1"
    )
    click.echo(f"self-test passed: {extractor.dim} numbers a crop, compared by their angle")
    click.echo(f"{extractor.version} -> {path}")


def _rounded(values: tuple[float, float, float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def _signature(model: Path, output: str | None) -> Signature:
    session = open_session(model, (CPU,), None)
    return Signature.of(session.get_inputs(), session.get_outputs(), model, output)


def _decided(
    model: Path, signature: Signature, preset: str, size: tuple[int, int] | None
) -> Decision:
    """As the model shows; else somebody at a terminal is asked."""
    try:
        return decide(model, signature, preset, size)
    except ModelError as error:
        if preset or not sys.stdin.isatty():
            raise
        click.echo(str(error))
        answer = click.prompt("preset of its training", type=click.Choice(PRESETS))
        return decide(model, signature, answer, size)


def _scaled(
    mean: tuple[float, float, float], std: tuple[float, float, float], top: float
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and standard deviation of pixels from 0 to 1."""
    return (
        (mean[0] / top, mean[1] / top, mean[2] / top),
        (std[0] / top, std[1] / top, std[2] / top),
    )
