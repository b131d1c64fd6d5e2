"""What a model takes and gives: which input is the picture, which output the features.

A model may want a batch of one size, pictures as (N, H, W, 3), halves or bytes, and numbers of
cameras beside the picture; it may give several things. Whatever it is, crops go in and (N, D) comes
out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgal_stream.errors import ModelError

_TYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
}
_IMAGE_RANK = 4
_COLOURS = 3
_NO_FEATURES = re.compile(r"logit|class|cls_score|score|prob|similar|softmax", re.IGNORECASE)
_FEATURES = re.compile(r"feat|embed|descriptor|fc_pred|global", re.IGNORECASE)
# People in the training sets of Market-1501, DukeMTMC-reID, CUHK03 and MSMT17: sizes of logits.
_N_CLASSES = (751, 702, 767, 1041, 4101)


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output by its name, numpy type and shape (None where it is free)."""

    name: str
    type: Any
    shape: tuple[int | None, ...]

    @classmethod
    def of(cls, told: Any) -> Port:
        """From onnxruntime's description."""
        shape = tuple(size if isinstance(size, int) else None for size in told.shape or ())
        return cls(str(told.name), _TYPES.get(told.type), shape)

    def __str__(self) -> str:
        return f"{self.name} ({', '.join('N' if s is None else str(s) for s in self.shape)})"


@dataclass(frozen=True, slots=True)
class Signature:
    """``batch`` is the only size of batch that is taken, None for any."""

    image: Port
    sides: tuple[Port, ...]
    output: Port
    is_nhwc: bool
    batch: int | None

    @classmethod
    def of(
        cls, inputs: Sequence[Any], outputs: Sequence[Any], path: Path, output: str | None = None
    ) -> Signature:
        """The roles of a model's inputs and outputs; ``output`` names the features where they
        cannot be told.

        Raises:
            ModelError: there is no picture among the inputs, an input that nothing can be given
                for, or no output that can be told to be the features.
        """
        ports = [Port.of(each) for each in inputs]
        image = _image(ports, path)
        sides = tuple(port for port in ports if port is not image)
        for side in sides:
            if side.type not in (np.int64, np.int32) or len(side.shape) > 2:
                raise ModelError(
                    f"{path} wants {side} beside the crops, which is no number of a camera",
                    hint="export it with crops as its only input",
                )
        is_nhwc = image.shape[1] != _COLOURS and image.shape[3] == _COLOURS
        found = _features([Port.of(each) for each in outputs], path, output)
        return cls(image, sides, found, is_nhwc, image.shape[0])

    @property
    def size(self) -> tuple[int | None, int | None]:
        """Height and width in pixels, None where they are free."""
        height, width = self.image.shape[1:3] if self.is_nhwc else self.image.shape[2:4]
        return height, width

    def run(self, session: Any, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 3, H, W) float32 -> (N, D) float32, or what the model gives instead."""
        if self.batch is None:
            return self._run(session, planes)
        parts = [self._padded(session, planes[at : at + self.batch])
                 for at in range(0, len(planes), self.batch)]  # fmt: skip
        return np.concatenate(parts)

    def _padded(self, session: Any, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        assert self.batch is not None
        missing = self.batch - len(planes)
        filled = np.concatenate([planes, np.repeat(planes[-1:], missing, axis=0)])
        return self._run(session, filled)[: len(planes)]

    def _run(self, session: Any, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        image = planes.transpose(0, 2, 3, 1) if self.is_nhwc else planes
        if self.image.type is np.uint8:
            image = image.round().clip(0, 255)
        feed = {self.image.name: np.ascontiguousarray(image, dtype=self.image.type)}
        for side in self.sides:
            # A camera that is not known: the first one's side information for all, so that it
            # moves all features alike.
            shape = tuple(1 if s is None else s for s in side.shape)
            feed[side.name] = np.zeros((len(planes), *shape[1:]), side.type)
        features = np.asarray(session.run([self.output.name], feed)[0], dtype=np.float32)
        return features.reshape(features.shape[:2]) if _is_flat(features.shape) else features


def _is_flat(shape: tuple[int, ...]) -> bool:
    """(N, D, 1, 1) and the like are (N, D)."""
    return len(shape) > 2 and all(size == 1 for size in shape[2:])


def _image(ports: list[Port], path: Path) -> Port:
    pictures = [
        port
        for port in ports
        if len(port.shape) == _IMAGE_RANK
        and (port.shape[1] in (_COLOURS, None) or port.shape[3] == _COLOURS)
    ]
    if len(pictures) != 1:
        told = ", ".join(str(port) for port in ports) or "nothing"
        raise ModelError(f"{path} takes {told}: not one batch of crops, (N, 3, H, W)")
    (image,) = pictures
    if image.type not in (np.float32, np.float16, np.float64, np.uint8):
        raise ModelError(f"{path} takes crops as numbers of a kind that cannot be given")
    return image


def _features(ports: list[Port], path: Path, wanted: str | None) -> Port:
    told = ", ".join(str(port) for port in ports)
    if wanted:
        for port in ports:
            if port.name == wanted:
                return port
        raise ModelError(f"{path} has no output {wanted!r}; it gives {told}")
    vectors = [port for port in ports if _may_be_features(port)]
    named = [port for port in vectors if _FEATURES.search(port.name)]
    for found in (named, vectors):
        if len(found) == 1:
            return found[0]
    if not vectors:
        raise ModelError(
            f"{path} gives {told}: a classifier's numbers or maps, no features",
            hint="export the layer before the classifier; or --output NAME, if one of these is it",
        )
    raise ModelError(
        f"{path} gives several things that may be the features: {told}",
        hint="stgal-stream adopt MODEL --output NAME says which",
    )


def _may_be_features(port: Port) -> bool:
    is_vector = len(port.shape) <= 2 or all(size == 1 for size in port.shape[2:])
    is_of_classes = len(port.shape) >= 2 and port.shape[1] in _N_CLASSES
    return is_vector and not is_of_classes and not _NO_FEATURES.search(port.name)
