"""stgal-stream: streaming multi-camera person tracking.

The public door. What is exported here is kept by semantic versioning; everything else may change.
The core needs no log and no network:

>>> from stgal_stream import Detection, SiteTracker, TrackerSettings
>>> tracker = SiteTracker("shop", TrackerSettings())
>>> tracker.tick(0.0)
[]

``examples/arrays_to_identities.py`` goes from arrays to identities in ten lines.
"""

from __future__ import annotations

from importlib.metadata import version as _version_of

from stgal_stream.core.tracker.site_tracker import SiteTracker
from stgal_stream.core.tracker.snapshot import restore, snapshot
from stgal_stream.errors import (
    ConfigError,
    DataError,
    FencedError,
    LogError,
    ModelError,
    SnapshotError,
    StgalError,
)
from stgal_stream.settings import TrackerSettings
from stgal_stream.types import (
    AssociationEvent,
    Box,
    Detection,
    Event,
    Evidence,
    IdentityEvent,
    Position,
    Reason,
    Refusal,
    Tracklet,
)

__version__ = _version_of("stgal-stream")

__all__ = [
    "AssociationEvent",
    "Box",
    "ConfigError",
    "DataError",
    "Detection",
    "Event",
    "Evidence",
    "FencedError",
    "IdentityEvent",
    "LogError",
    "ModelError",
    "Position",
    "Reason",
    "Refusal",
    "SiteTracker",
    "SnapshotError",
    "StgalError",
    "TrackerSettings",
    "Tracklet",
    "__version__",
    "restore",
    "snapshot",
]
