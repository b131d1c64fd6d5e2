"""Arrays, boxes and tracklets in the making as plain values, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgal_stream.core.tracklets import OpenTracklet
from stgal_stream.types import Box, Position

State = dict[str, Any]


def dump_open(opened: OpenTracklet) -> State:
    names = ("camera", "track_id", "extractor", "start_s", "end_s", "lengths", "ids", "best")
    state = {name: getattr(opened, name) for name in names}
    state["total"] = pack(opened.total)
    state["box"], state["position"] = dump_box(opened.box), dump_position(opened.position)
    return state


def load_open(state: State) -> OpenTracklet:
    box, position = load_box(state["box"]), load_position(state["position"])
    rest = {**state, "total": unpack(state["total"]), "box": box, "position": position}
    return OpenTracklet(**rest)


def pack(array: NDArray[Any] | None) -> list[Any] | None:
    return None if array is None else [array.dtype.str, list(array.shape), array.tobytes()]


def unpack(packed: list[Any]) -> NDArray[Any]:
    kind, shape, data = packed
    return np.frombuffer(data, dtype=kind).reshape(shape).copy()


def unpack_some(packed: list[Any] | None) -> NDArray[Any] | None:
    return None if packed is None else unpack(packed)


def dump_box(box: Box | None) -> list[float] | None:
    return None if box is None else [box.left_px, box.top_px, box.right_px, box.bottom_px]


def load_box(raw: list[float] | None) -> Box | None:
    return None if raw is None else Box(*raw)


def dump_position(at: Position | None) -> list[Any] | None:
    return None if at is None else [at.topic, at.partition, at.offset]


def load_position(raw: list[Any] | None) -> Position | None:
    return None if raw is None else Position(*raw)
