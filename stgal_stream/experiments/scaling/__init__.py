"""Scaling: a site larger than one process, simulated. A tracker runs in each part of its cameras.

In: a city (cameras on a street grid, people who walk it) and a number of parts. Out: cost, and how
right the joined identities are. The way of the data is that of ``docs/scale.md``: ``city`` makes
sightings, ``camera_graph`` learns which cameras are neighbours, ``partition`` cuts that graph into
parts that overlap, ``part`` runs a tracker, ``hand_over`` joins what the parts say into one
identity a person.
"""
