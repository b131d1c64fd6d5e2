"""Detections -> tracklets: one person in one camera without a break.

In: detections in any order within the allowed lateness. Out: complete tracklets in order of event
time, as ``OpenTracklet``.

Law: what comes out depends on the detections alone, not on the order in which they arrived.

- ``watermark``       how far event time has come, and what is too late
- ``seen_ids``        detection ids of the window: a duplicate id is refused here
- ``open_tracklet``   a tracklet in the making
- ``builder``         from detections to tracklets
- ``box_tracker``     tracks of boxes where the camera gives none
- ``box_pair_model``  what two boxes of one camera say about being one person

Change here: how boxes become tracks. Nothing here knows of other cameras.
"""
