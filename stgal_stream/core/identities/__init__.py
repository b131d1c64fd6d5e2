"""Identities: accepted evidence -> who is who.

In: scores of tracklets against the window. Out: global identities, and how they change.

Law: two tracklets that were in one camera at one time never share an identity. What decides is all
that is known of two groups, never one lucky pair.

- ``resolver``    decisions turned into changes and events: create, join, rename, end
- ``registry``    which tracklet is of which identity: create, join, merge, move, split, expire
- ``rules``       what may join and what must stay apart: where a merge is decided
- ``linkage``     average linkage: the evidence between a tracklet or identity and each identity
- ``group_mean``  groups of tracklets compared as a whole
- ``splitting``   which tracklets of an identity are somebody else's
- ``expected_precision`` how much of them is expected to be right
- ``constraints`` what operators said: must-link and cannot-link
- ``parting``     an identity that an operator says is two people
- ``revision``    all identities judged again after a calibration
- ``chains``      the paper's identities: chains of accepted pairs

Change here: who merges. What a pair is worth is decided in ``calibration``.
"""
