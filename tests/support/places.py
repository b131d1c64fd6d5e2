"""Names that several tests need."""

from __future__ import annotations

from pathlib import Path

TOPICS = (
    "detections",
    "embeddings",
    "identities",
    "associations",
    "calibrations",
    "corrections",
    "dead_letters",
    "erasures",
    "releases",
)

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
