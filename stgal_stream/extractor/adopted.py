"""What was decided about a model that does not describe itself, in a file beside it.

``MODEL.stgal.json`` holds the preprocessing, the output and the hash of the files that it was
decided for.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from stgal_stream.errors import ModelError
from stgal_stream.extractor.crops import CropFormat
from stgal_stream.replacing import replacing


class Adopted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The decisions; ``version`` is the model's name in embeddings."""

    sha256: str
    version: str
    height: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    colour: str
    interpolation: str
    output: str

    @property
    def form(self) -> CropFormat:
        """The crops that the model takes."""
        return CropFormat(
            self.height, self.width, self.mean, self.std, self.colour, self.interpolation
        )


def path_of(model: Path) -> Path:
    """Where the decisions about a model lie."""
    return model.with_name(f"{model.name}.stgal.json")


def read(model: Path, digest: str) -> Adopted | None:
    """What was decided about a model; None where nothing was.

    Raises:
        ModelError: it cannot be read, or was decided about other files.
    """
    path = path_of(model)
    if not path.is_file():
        return None
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Adopted)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} cannot be read: {error}", hint="stgal-stream adopt") from error
    if found.sha256 != digest:
        raise ModelError(
            f"{path} was written for another model than {model.name} is now",
            hint=f"stgal-stream adopt {model} decides anew",
        )
    return found


def write(model: Path, adopted: Adopted) -> Path:
    """Writes the decisions beside the model.

    Raises:
        DataError: they cannot be written.
    """
    path = path_of(model)
    with replacing(path) as new:
        new.write_bytes(msgspec.json.format(msgspec.json.encode(adopted), indent=1) + b"\n")
    return path
