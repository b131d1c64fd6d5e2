"""The pairs of an audit side by side, numbered as they are asked. Self-contained HTML."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass

from stgal_stream.experiments.pages.charts import STYLE

_STYLE = STYLE + ".pair img{height:16rem;background:#eee}.pair{margin:1.2rem 0}"


@dataclass(frozen=True, slots=True)
class ShownPair:
    """Two sightings: what is said of them, and both pictures (JPEG, PNG or WebP), the earlier
    first."""

    caption: str
    pictures: tuple[bytes, bytes]


def audit_page(site: str, pairs: Sequence[ShownPair]) -> str:
    """The page."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        f"<title>Audit of {html.escape(site)}</title><style>{_STYLE}</style>",
        f"<h1>Audit of {html.escape(site)}</h1>",
        "<p>Is each of these pairs one person? Answer in the terminal.</p>",
    ]
    for number, pair in enumerate(pairs, 1):
        images = "".join(_image(picture) for picture in pair.pictures)
        parts.append(
            f"<div class=pair id=pair-{number}><h2>{number}</h2>{images}"
            f"<p>{html.escape(pair.caption)}</p></div>"
        )
    return "\n".join(parts)


def _image(picture: bytes) -> str:
    return f"<img alt='' src='data:image;base64,{base64.b64encode(picture).decode()}'> "
