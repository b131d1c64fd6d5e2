"""Messages that somebody or something has broken: bytes, structure and values."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 2**63, 2**64, -(2**70), 10**400, 1e308, -0.0, float("nan"), float("inf"),
    "", " ", "NaN", "-1", "x" * 300, "\x00", "é", "2025-01-01T00:00:00Z", "|" * 50, "AAAA", "=",
    "1|2|3|4|5|Person|#|embedding", [], {}, [[]], [{}], {"": {}}, [1, "2", None], [[1.0], [2.0]],
    {"@x": []},
)  # fmt: skip


def broken(good: bytes, random: random.Random) -> bytes:
    """A message with something done to it."""
    if random.random() < 0.3:
        return _other_bytes(good, random)
    value = copy.deepcopy(json.loads(good))
    for _ in range(random.choice((1, 1, 2, 5))):
        value = _other_node(value, random)
    return json.dumps(value).encode(errors="surrogatepass")


def _other_bytes(good: bytes, random: random.Random) -> bytes:
    kind, at = random.randrange(5), random.randrange(len(good))
    if kind == 0:
        return good[:at]
    if kind == 1:
        return good[:at] + bytes([random.randrange(256)]) + good[at + 1 :]
    if kind == 2:
        return good[:at] + random.randbytes(random.randrange(1, 9)) + good[at:]
    if kind == 3:
        return good[at:] + good[:at]
    return good[:at] + random.choice((b"[", b"{", b'"')) * random.choice((1, 2000)) + good[at:]


def _other_node(value: Any, random: random.Random) -> Any:
    """The value with one of its nodes replaced, taken away, doubled or renamed."""
    if random.random() < 0.15 or not isinstance(value, dict | list) or not value:
        return copy.deepcopy(random.choice(VALUES))
    if isinstance(value, list):
        at = random.randrange(len(value))
        if random.random() < 0.2:
            del value[at]
        elif random.random() < 0.2:
            value.insert(at, copy.deepcopy(value[at]))
        else:
            value[at] = _other_node(value[at], random)
        return value
    name = random.choice(list(value))
    if random.random() < 0.15:
        del value[name]
    elif random.random() < 0.1:
        value[random.choice(("", "id", "type", "objects", "frame", "Frame", "@" + name))] = (
            value.pop(name)
        )
    else:
        value[name] = _other_node(value[name], random)
    return value
