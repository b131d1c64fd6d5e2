"""Matching: a calibrated window -> accepted pairs with their evidence.

In: a gallery and a calibration. Out: scores, the pairs that best-buddies search accepts, and what
speaks for each.

Law: after every step the accepted pairs are those of ``measures.best_buddies`` on the window's
content.

- ``pair_scorer``          scores of tracklets against the window
- ``gated_scores``         those of one tracklet, of the pairs alone that can matter
- ``evidence``             what speaks for a pair, in words an event can carry
- ``online_best_buddies``  best buddies, kept up to date while tracklets come and go
- ``accepted_pairs``       the pairs accepted now, and their travel times
- ``hard_negatives``       candidates that look alike and cannot be the same (for retraining)

Change here: which pairs are taken for one person. Who is who is decided in ``identities``.
"""
