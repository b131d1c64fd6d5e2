"""What can be measured between two things: pure functions on arrays, without state.

In: embeddings, boxes, times, scores. Out: distances, overlaps, travel times, best buddies.

Law: one definition each. Whoever needs a travel time or a best buddy asks here, whatever the shape
of the arrays.

- ``distance``      Euclidean distance and the visual probability P_v (equation 1)
- ``boxes``         intersection over union
- ``travel_time``   seconds between two tracklets
- ``best_buddies``  BBP and IBBS on a matrix of scores, and mutual nearest neighbours block by block
- ``isotonic``      isotonic regression
- ``log_odds``      the limit of evidence
- ``weighted_counts``  a histogram with weights

Change here: a faster kernel. The property tests in ``tests/core/measures`` hold the meaning.
"""
