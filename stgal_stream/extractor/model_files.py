"""The files that make up an ONNX model: the graph, and weights that lie beside it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from stgal_stream.errors import ModelError

# A key of TensorProto.external_data: without these bytes no weight lies outside.
_LOCATION = re.compile(rb"\x0a\x08location\x12")
_LFS = b"version https://git-lfs"
_CHUNK = 1 << 20


def graph_of(path: Path) -> Any:
    """The model without weights that lie beside it (``onnx.ModelProto``).

    Raises:
        ModelError: it is no ONNX.
    """
    import onnx

    try:
        return onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's own types
        raise ModelError(f"{path} cannot be read as ONNX: {error}") from error


def files_of(path: Path) -> list[Path]:
    """The graph's file, then those of its weights, in order of name.

    Raises:
        ModelError: there is no model, it is a pointer of Git LFS, or a file of weights is missing
            or lies elsewhere.
    """
    if not path.is_file():
        raise ModelError(
            f"no model at {path}",
            hint="make one with stgal-stream export, or leave the option out",
        )
    content = path.read_bytes()
    if content.startswith(_LFS):
        raise ModelError(f"{path} is a pointer of Git LFS, not the model", hint="git lfs pull")
    if not content:
        raise ModelError(f"{path} is empty")
    names = _locations(path) if _LOCATION.search(content) else set()
    return [path, *(_beside(path, name) for name in sorted(names))]


def digest_of(files: list[Path]) -> str:
    """SHA-256 of a model: of its file, or of all its files one after the other."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as content:
            while chunk := content.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def _beside(path: Path, name: str) -> Path:
    found = path.parent / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ModelError(f"{path} keeps weights outside its folder, in {name!r}")
    if not found.is_file():
        raise ModelError(
            f"{path} keeps its weights in {name}, which is not beside it",
            hint=f"copy {name} into {path.parent} too",
        )
    return found


def _locations(path: Path) -> set[str]:
    """Where tensors lie that are not in the graph, also those of nodes and of inner graphs."""
    return {name for tensor in _tensors(graph_of(path).graph) if (name := _location(tensor))}


def _location(tensor: Any) -> str | None:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    return entries.get("location")


def _tensors(graph: Any) -> list[Any]:
    found = list(graph.initializer)
    for node in graph.node:
        for attribute in node.attribute:
            found += [attribute.t, *attribute.tensors]
            for inner in (attribute.g, *attribute.graphs):
                if inner.node or inner.initializer:
                    found += _tensors(inner)
    return found
