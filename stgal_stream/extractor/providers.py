"""The execution providers of onnxruntime that this machine can use.

A GPU needs libraries beside onnxruntime (CUDA, cuDNN), from pip (``stgal-stream[gpu]``) or from the
system. Where they are missing, onnxruntime computes on the CPU; whoever has a GPU is told so.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import onnxruntime as ort

logger = logging.getLogger(__name__)

CPU = "CPUExecutionProvider"
_TENSORRT = "TensorrtExecutionProvider"
PROVIDERS = (_TENSORRT, "CUDAExecutionProvider", CPU)
# Features must not depend on how many crops are computed at once, as by a shorter mantissa, nor on
# which convolution was fastest this time; and looking for that again at each size of batch is slow.
_OPTIONS = {"CUDAExecutionProvider": {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}}
DRIVER = Path("/dev/nvidiactl")
_TENSORRT_LIBRARY = "libnvinfer.so.10"


def usable(wanted: Sequence[str]) -> list[str]:
    """Those of the ``wanted`` that are worth a try, in their order: without a GPU, or TensorRT
    without its library, onnxruntime would fail with many lines."""
    here = [name for name in wanted if name in ort.get_available_providers()]
    if not DRIVER.exists():
        return [name for name in here if name == CPU]
    if here == [CPU]:
        return here
    _load_libraries()
    return [name for name in here if name != _TENSORRT or _loads(_TENSORRT_LIBRARY)]


def with_options(names: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    """How each is to compute, as onnxruntime takes it."""
    return [(name, _OPTIONS.get(name, {})) for name in names]


def tell_of_idle_gpu(tried: Sequence[str], used: str) -> None:
    """Warns where a GPU was to be used and is not."""
    if used == CPU and tried[0] != CPU:
        logger.warning(
            "there is a GPU, but onnxruntime cannot use it, and the extractor runs on the CPU: it "
            "needs CUDA %s and cuDNN 9 (pip install 'stgal-stream[gpu]') and a driver for them%s",
            ort.cuda_version,
            "".join(f"; {line}" for line in _load_libraries()),
        )


@cache
def _load_libraries() -> list[str]:
    """Loads CUDA's libraries from pip's packages or the system; what it says of those missing."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):  # it prints
        ort.preload_dlls()
    return [line.strip() for line in said.getvalue().splitlines() if line.startswith("Failed")]


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
