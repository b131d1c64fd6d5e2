"""Detections -> tracklets: one person in one camera without a break.

In: detections in any order. Out: complete tracklets in order of event time, as ``OpenTracklet``.

Law: what comes within the allowed lateness gives the same tracklets in whatever order it arrived.

- ``site_clock``      how far event time has come, by what most cameras say
- ``camera_clock``    one camera's stamps, and how far its clock is off
- ``seen_ids``        detection ids of the window: a duplicate id is refused here
- ``open_tracklet``   a tracklet in the making
- ``builder``         from detections to tracklets
- ``box_tracker``     tracks of boxes where the camera gives none
- ``box_pair_model``  what two boxes of one camera say about being one person

Change here: how boxes become tracks. Nothing here knows of other cameras.
"""
