"""Embedded images with labels: what retrieval is evaluated on."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stgal_stream.core.gallery.gallery import Gallery
from stgal_stream.errors import DataError
from stgal_stream.evaluation.datasets import SPLITS, DatasetImage
from stgal_stream.extractor.crops import BadCrop, decode_crop
from stgal_stream.extractor.onnx import OnnxExtractor
from stgal_stream.types import Tracklet

_ARRAYS = ("embedding", "person_id", "camera", "time_s", "split")
_BATCH = 32
_MAX_CROP_BYTES = 8 * 1024 * 1024
_MAX_CROP_PIXELS = 16_000_000


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """N images. ``person`` is 0 for a distractor and -1 for junk; ``camera`` (N,) indexes
    ``camera_names``; ``time_s`` (N,) is seconds on one clock; ``paths`` are the images, if any."""

    embedding: NDArray[np.float32]
    person: NDArray[np.int64]
    camera: NDArray[np.int64]
    camera_names: tuple[str, ...]
    time_s: NDArray[np.float64]
    split: NDArray[np.str_]
    paths: tuple[Path, ...] = ()
    n_broken: int = 0

    @property
    def queries(self) -> NDArray[np.int64]:
        """Rows of the queries."""
        return np.flatnonzero(self.split == "query")

    @property
    def gallery(self) -> NDArray[np.int64]:
        """Rows of the gallery."""
        return np.flatnonzero(self.split == "gallery")

    @property
    def window(self) -> NDArray[np.int64]:
        """Rows of the test split in order of time: the window that is calibrated on."""
        rows = np.flatnonzero(self.split != "train")
        return rows[np.argsort(self.time_s[rows], kind="stable")]

    def gallery_of_window(self) -> Gallery:
        """The window as tracklets of length one, in the order of ``window``."""
        made = Gallery(self.camera_names)
        for number, row in enumerate(self.window.tolist()):
            at = float(self.time_s[row])
            camera = self.camera_names[self.camera[row]]
            vector = self.embedding[row]
            made.add(Tracklet(number, camera, at, at, vector, "evaluated", (str(row),)), at)
        return made


def load_embeddings(path: Path) -> LabelledSet:
    """A ``.npz`` with ``embedding`` (N, D), ``person_id``, ``camera``, ``time_s``, ``split`` (N,).

    Raises:
        DataError: it cannot be read, lacks an array, or the arrays do not fit together.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            missing = [name for name in _ARRAYS if name not in arrays]
            if missing:
                raise DataError(
                    f"{path} has no array {', '.join(missing)}", hint=f"it needs {_ARRAYS}"
                )
            embedding, person, camera, time_s, split = (np.asarray(arrays[n]) for n in _ARRAYS)
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(
            f"{path} cannot be read as .npz: {error}", hint="numpy.savez makes one"
        ) from error
    n = len(embedding)
    if embedding.ndim != 2 or any(a.shape != (n,) for a in (person, camera, time_s, split)):
        raise DataError(f"{path}: embedding must be (N, D) and the other arrays (N,) of the same N")
    names, index = np.unique(camera.astype(str), return_inverse=True)
    try:
        found = LabelledSet(
            np.ascontiguousarray(embedding, dtype=np.float32),
            person.astype(np.int64),
            index.astype(np.int64),
            tuple(names.tolist()),
            time_s.astype(np.float64),
            split.astype(str),
        )
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: {error}") from error
    return _checked(found, path)


def embed_dataset(
    images: Sequence[DatasetImage],
    extractor: OnnxExtractor,
    on_progress: Callable[[int], None] = lambda n: None,
) -> LabelledSet:
    """Embeds a data set's images of query and gallery; broken files are left out and counted."""
    kept: list[DatasetImage] = []
    vectors: list[NDArray[np.float32]] = []
    wanted = [image for image in images if image.split != "train"]
    for start in range(0, len(wanted), _BATCH):
        batch, pixels = [], []
        for image in wanted[start : start + _BATCH]:
            try:
                data = image.path.read_bytes()
                pixels.append(
                    decode_crop(
                        data,
                        extractor.form,
                        max_bytes=_MAX_CROP_BYTES,
                        max_pixels=_MAX_CROP_PIXELS,
                    )
                )
            except (OSError, BadCrop):
                continue
            batch.append(image)
        if batch:
            vectors.append(extractor.embed(np.stack(pixels)))
            kept += batch
        on_progress(min(start + _BATCH, len(wanted)))
    if not kept:
        raise DataError("no image of query and gallery could be read")
    names, index = np.unique([image.camera for image in kept], return_inverse=True)
    found = LabelledSet(
        np.concatenate(vectors),
        np.array([image.person for image in kept], np.int64),
        index.astype(np.int64),
        tuple(str(name) for name in names),
        np.array([image.time_s for image in kept]),
        np.array([image.split for image in kept]),
        tuple(image.path for image in kept),
        n_broken=len(wanted) - len(kept),
    )
    return _checked(found, Path("the data set"))


def _checked(found: LabelledSet, path: Path) -> LabelledSet:
    unknown = sorted(set(found.split.tolist()) - set(SPLITS))
    if unknown:
        raise DataError(f"{path}: split {unknown[0]!r} is none of {', '.join(SPLITS)}")
    if not (np.isfinite(found.embedding).all() and np.isfinite(found.time_s).all()):
        raise DataError(f"{path} holds NaN or infinite numbers")
    for split, rows in (("query", found.queries), ("gallery", found.gallery)):
        if not len(rows):
            raise DataError(f"{path} has no image of split {split!r}")
    return found
