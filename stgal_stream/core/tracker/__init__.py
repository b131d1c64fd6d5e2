"""The online tracker of one site: detections in, events out.

In: detections, and event time. Out: identity events, association events, refusals.

Laws. What comes out is a function of what went in: no clock, no randomness, no I/O. Decisions fall
on a grid of event time (``step_s``), so they do not depend on how the log was polled nor, as long
as nothing is late, on the order of arrival. Memory is bounded by the settings.

- ``site_tracker``      the door: what is refused, and when something happens
- ``window``            one step: expire, settle, match, identify, recalibrate
- ``extractor_change``  the window put into another extractor's version
- ``operator_correction``  obeys an operator: one person, or two people
- ``static_objects``    what never moves: no person
- ``erasure``           forgets one person
- ``snapshot``          the whole state, to go on from

Change here: the order of the steps. What each does lives in the rooms below.
"""
