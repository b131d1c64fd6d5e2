"""``export``: an ONNX ResNet-50 from torch weights. Needs the ``train`` extra."""

from __future__ import annotations

from pathlib import Path

import click

from stgal_stream.commands.options import train_extra
from stgal_stream.commands.paths import FileOrName, OutputFile

_EPILOG = """\b
Examples:
  stgal-stream export --weights seeded --out seeded.onnx
  stgal-stream export --weights market_resnet50.pth --out market.onnx
  stgal-stream export --weights imagenet --out imagenet.onnx
"""


@click.command(epilog=_EPILOG)
@click.option(
    "--weights",
    required=True,
    type=FileOrName(),
    help="imagenet, seeded, or a re-ID toolkit's .pth",
)
@click.option("--out", required=True, type=OutputFile(makes_folders=True), help="The ONNX file.")
@click.option("--height", default=256, show_default=True, type=click.IntRange(32, 1024))
@click.option("--width", default=128, show_default=True, type=click.IntRange(16, 1024))
@click.option("--last-stride", default=1, show_default=True, type=click.IntRange(1, 2))
@click.option("--seed", default=0, show_default=True, help="For --weights seeded.")
@click.option("--unit-length/--raw", default=False, help="The daemon scales features to length 1.")
@click.option("--int8", "eight_bit", is_flag=True, help="Store weights in 8 bits.")
@click.option(
    "--version", "version", default=None, help="Name of the release; default: the weights'."
)
def export(
    weights: str,
    out: Path,
    height: int,
    width: int,
    last_stride: int,
    seed: int,
    unit_length: bool,
    eight_bit: bool,
    version: str | None,
) -> None:
    """Export a ResNet-50 to ONNX and prove it equal to torch."""
    with train_extra("export"):
        from stgal_stream.training.export import export as export_network
        from stgal_stream.training.export import imagenet_format
        from stgal_stream.training.network import load_network
    network = load_network(weights, seed=seed, last_stride=last_stride)
    name = version or (f"seeded-{seed}" if weights == "seeded" else Path(weights).stem)
    parity = export_network(
        network,
        out,
        imagenet_format(height, width),
        version=name,
        unit_length=unit_length,
        eight_bit=eight_bit,
    )
    click.echo(
        f"{out}: {out.stat().st_size / 1e6:.1f} MB, {height} x {width}, parity with torch: "
        f"cosine at least {parity.min_cosine:.6f}, difference at most {parity.max_difference:.2g}"
    )
