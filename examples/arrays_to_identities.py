"""From arrays to identities in ten lines: the core as a library, without any log.

    python examples/arrays_to_identities.py

Forty people pass three cameras, 40 and 70 seconds apart. The tracker gets their embeddings and
times, and never who they are.
"""

from __future__ import annotations

import numpy as np

from stgal_stream import Detection, IdentityEvent, SiteTracker, TrackerSettings

rng = np.random.default_rng(1)
walks = []
for person in range(40):
    face, start_s = rng.normal(size=64), rng.uniform(0, 1200)
    for camera, after_s in (("door", 0), ("hall", 40), ("yard", 110)):
        look = (face + 0.4 * rng.normal(size=64)).astype(np.float32)
        walks.append((start_s + after_s * rng.uniform(0.9, 1.1), camera, look, person))

# The ten lines.
tracker = SiteTracker("example", TrackerSettings(first_calibration=40))
identity: dict[str, str] = {}
for number, (time_s, camera, look, person) in enumerate(sorted(walks, key=lambda w: w[0])):
    name = f"{person}/{number}"  # the person is in the name for the comparison below alone
    for event in tracker.observe(Detection(name, camera, time_s, look, "v1", str(number))):
        if isinstance(event, IdentityEvent) and event.tracklet is not None:
            identity |= dict.fromkeys(event.tracklet.detection_ids, event.global_id)
tracker.tick(3600.0)
names = {tracker.window.identities.of(t.number).global_id for t in tracker.window.gallery.tracklets}

print(f"{len(walks)} detections of 40 people, {len(identity)} decided, {len(names)} identities")
