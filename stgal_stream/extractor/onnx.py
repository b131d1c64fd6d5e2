"""An extractor in ONNX: crops in, features out, on the best device there is.

A model says itself what it wants (metadata ``stgal.*``), or it was decided (``adopted``), or it
shows it (``preprocessing``). On a CPU an 8-bit variant that lies beside it (``quantised``) is used
in its place and under its name. Before it is used it proves that
a batch of N gives what N batches of one give: exported models that bake a batch size in, or keep
batch statistics, do not, and nothing would show it but wrong identities.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from stgal_stream.errors import ModelError
from stgal_stream.extractor import adopted
from stgal_stream.extractor.crops import CropFormat
from stgal_stream.extractor.model_files import digest_of, files_of
from stgal_stream.extractor.preprocessing import Decision, decide
from stgal_stream.extractor.providers import CPU, PROVIDERS, tell_of_idle_gpu, usable, with_options
from stgal_stream.extractor.signature import Signature

logger = logging.getLogger(__name__)

VARIANT_OF = "stgal.variant_of"
SHIPPED = Path(__file__).parent / "weights" / "rendered.onnx"
_SELF_TEST_TOLERANCE = 2e-2
_ROUNDING = 1e-3
_ERRORS = 3


class OnnxExtractor:
    """A loaded, self-tested model. ``threads`` is how many one batch may use on a CPU (None: all);
    ``n_parallel`` batches at a time then use all cores. ``eight_bit`` allows its 8-bit variant;
    ``preset`` names the preprocessing of a model that does not describe itself.

    Raises:
        ModelError: it is missing, broken, of the wrong shape, or depends on its batch; or the
            variant beside it is another model's.
    """

    def __init__(
        self,
        path: Path,
        *,
        providers: Sequence[str] = PROVIDERS,
        threads: int | None = None,
        eight_bit: bool = True,
        preset: str = "",
    ) -> None:
        files = files_of(path)
        self.path = path
        self._session = open_session(path, providers, threads)
        self.provider = str(self._session.get_providers()[0])
        on_cpu = self.provider == CPU
        cores = len(os.sched_getaffinity(0)) if on_cpu else 1
        self.n_parallel = max(1, cores // threads) if threads else 1
        digest = digest_of(files)
        self._describe(digest, preset)
        self.input_name = self.signature.image.name
        self.eight_bit = eight_bit and on_cpu and variant_path(path).is_file()
        if self.eight_bit:
            self._session = _variant(variant_path(path), digest, threads)
        bits = "in 8 bits" if self.eight_bit else "in floats"
        logger.info("extractor %s runs on %s, %s", path.name, self.provider, bits)
        self.dim = 0
        self.self_test()

    def _describe(self, digest: str, preset: str) -> None:
        """How crops go in and features come out, and the version that stands for all of it."""
        session, path = self._session, self.path
        meta = session.get_modelmeta().custom_metadata_map
        inputs, outputs = session.get_inputs(), session.get_outputs()
        decided = adopted.read(path, digest)
        output = decided.output if decided is not None else meta.get("stgal.output")
        self.signature = Signature.of(inputs, outputs, path, output)
        self.unit_length = meta.get("stgal.normalize") == "l2"
        self.decision: Decision | None = None
        if "stgal.mean" in meta and decided is None:
            self.form = _crop_format(meta, self.signature, path)
            self.version = f"{meta.get('stgal.version', path.stem)}@{digest[:12]}"
            return
        # Whoever does not say otherwise compares features by their angle, as the zoos do.
        self.unit_length = True
        if decided is not None:
            self.form, name = decided.form, decided.version
        else:
            self.decision = decide(path, self.signature, preset)
            self.form, name = self.decision.form, path.stem
            logger.info("extractor %s: %s", path.name, "; ".join(self.decision.why))
        # The same weights under another preprocessing or output are another extractor.
        whole = f"{digest} {self.form} {self.signature.output.name}"
        self.version = f"{name}@{hashlib.sha256(whole.encode()).hexdigest()[:12]}"

    def embed(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, H, W, 3) uint8 RGB -> (N, D) float32."""
        return self._run(self.form.normalise(pixels))

    def run_normalised(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 3, H, W) float32, normalised already -> (N, D) float32."""
        return self._run(planes)

    def self_test(self) -> None:
        """A batch of four against four batches of one.

        Raises:
            ModelError: the two differ, or the output is not (N, D) of finite numbers.
        """
        rng = np.random.default_rng(0)
        shape = (4, self.form.height_px, self.form.width_px, 3)
        crops = rng.integers(0, 256, shape, dtype=np.uint8)
        crops[1] //= 4
        crops[2] = crops[2].mean(axis=(0, 1)).astype(np.uint8)
        try:
            together = self.embed(crops)
            parts = [self.embed(crops[i : i + 1]) for i in range(4)]
            alone = np.concatenate([part.reshape(1, -1) for part in parts])
        except ModelError as error:
            raise ModelError(
                f"{self.path} does not take batches of any size: {error}",
                hint="export it with a dynamic first axis",
            ) from error
        if together.ndim != 2 or together.shape != alone.shape or len(together) != 4:
            raise ModelError(f"{self.path} gives shape {together.shape} for 4 crops, not (4, D)")
        if not np.isfinite(together).all() or not np.abs(together).sum(axis=1).all():
            raise ModelError(f"{self.path} gives NaN, infinite or zero features")
        spread = float(np.linalg.norm(together - together.mean(axis=0), axis=1).max())
        difference = float(np.linalg.norm(together - alone, axis=1).max())
        # A network trained on people sees next to no difference between such pictures, and a
        # GPU's shorter mantissa then is a large part of it.
        rounding = _ROUNDING * float(np.linalg.norm(together, axis=1).mean())
        if difference > max(_SELF_TEST_TOLERANCE * spread, rounding):
            raise ModelError(
                f"{self.path} fails its self-test: a batch of 4 differs from 4 batches of one by "
                f"{difference:.3g} where crops differ by {spread:.3g}",
                hint="export it in eval mode: its features must not depend on the batch",
            )
        self.dim = int(together.shape[1])

    def _run(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            features = self.signature.run(self._session, planes)
        except Exception as error:  # onnxruntime raises its own types, not exported by name
            raise ModelError(f"{self.path} failed to run: {error}") from error
        if self.unit_length and features.ndim == 2:
            lengths = np.linalg.norm(features, axis=1, keepdims=True)
            features = features / np.maximum(lengths, 1e-12)
        return features


def variant_path(model: Path) -> Path:
    """Where a model's 8-bit variant lies."""
    return model.with_suffix(f".int8{model.suffix}")


def _variant(path: Path, digest: str, threads: int | None) -> ort.InferenceSession:
    session = open_session(path, (CPU,), threads, in_integers=True)
    if session.get_modelmeta().custom_metadata_map.get(VARIANT_OF) != digest:
        raise ModelError(
            f"{path} is a variant of another model than the one beside it",
            hint="remove it, or make it again with stgal-stream quantise",
        )
    return session


def open_session(
    path: Path, providers: Sequence[str], threads: int | None, *, in_integers: bool = False
) -> ort.InferenceSession:
    """A model on the first of the providers that can run it.

    Raises:
        ModelError: none can.
    """
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS
    # A thread that waits for the next batch sleeps: spinning is hardly faster, and takes cores that
    # the daemon's other stages and other programs want.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not in_integers:  # weights stored in 8 bits become floats once, at loading
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    if threads:
        options.intra_op_num_threads = threads
    tried = usable(providers)
    if not tried:
        raise ModelError(f"none of the providers {', '.join(providers)} is here")
    last: Exception | None = None
    for first in range(len(tried)):
        try:
            session = ort.InferenceSession(path, options, providers=with_options(tried[first:]))
        except Exception as error:  # see _run
            last = error
            logger.warning("%s cannot load the extractor: %s", tried[first], error)
        else:
            tell_of_idle_gpu(tried, session.get_providers()[0])
            return session
    raise ModelError(f"{path} is not a model that onnxruntime can load: {last}") from last


def _crop_format(meta: dict[str, str], signature: Signature, path: Path) -> CropFormat:
    shape = signature.size
    try:
        height, width = (
            int(meta.get(f"stgal.{n}", str(s)))
            for n, s in zip(("height", "width"), shape, strict=True)
        )
        mean, std = (
            tuple(float(v) for v in meta[f"stgal.{n}"].split(",")) for n in ("mean", "std")
        )
    except (KeyError, ValueError, TypeError) as error:
        raise ModelError(
            f"{path} does not say what it wants: metadata {error} is missing or wrong",
            hint="stgal-stream export writes stgal.height, width, mean, std and version",
        ) from error
    for wanted, given in zip((height, width), shape, strict=True):
        if given is not None and given != wanted:
            raise ModelError(f"{path} takes {shape} but its metadata says {height} x {width}")
    if len(mean) == 3 and len(std) == 3:
        form = CropFormat(height, width, (mean[0], mean[1], mean[2]), (std[0], std[1], std[2]))
        if form.is_possible:
            return form
    raise ModelError(f"{path} has metadata that cannot be right (mean, std or size)")
