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

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
        CalibrationEvent,
        Detection,
        Event,
        Evidence,
        IdentityEvent,
        Position,
        Reason,
        Refusal,
        Tracklet,
    )

    __version__: str

__all__ = [
    "AssociationEvent",
    "Box",
    "CalibrationEvent",
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

# Loaded when asked for: the command line begins here too, and `--help` needs none of it.
_MODULES = ("errors", "types", "settings", "core.tracker.snapshot", "core.tracker.site_tracker")


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("stgal-stream")
    if name in __all__:
        for module in _MODULES:
            found = getattr(import_module(f"stgal_stream.{module}"), name, None)
            if found is not None:
                return found
    raise AttributeError(f"module 'stgal_stream' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
