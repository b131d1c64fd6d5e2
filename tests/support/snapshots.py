"""A tracker's state through its bytes and back."""

from __future__ import annotations

from stgal_stream.core.tracker.site_tracker import SiteTracker
from stgal_stream.core.tracker.snapshot import SiteState, restore, snapshot
from stgal_stream.streaming.snapshots import decode, encode


def state_bytes(tracker: SiteTracker) -> bytes:
    """Everything that the tracker knows."""
    return encode(snapshot(tracker))


def reloaded(tracker: SiteTracker) -> SiteTracker:
    """A tracker that starts from the snapshot of another."""
    state: SiteState = decode(state_bytes(tracker), SiteState)
    return restore(state, tracker.settings)


def packed(text: str) -> bytes:
    """A short text as it stands in a snapshot, which is MessagePack."""
    return bytes([0xA0 | len(text)]) + text.encode()
