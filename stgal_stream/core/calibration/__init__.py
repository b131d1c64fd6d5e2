"""Calibration: the window -> what a distance and a travel time mean, without a label.

In: a gallery. Out: a ``Calibration``: alpha, sigma, P_t and log odds by camera pair.

Law: a calibration is a pure function of the window. It holds no state and is never updated in
place.

- ``calibrate``                 the whole of it, from a gallery
- ``pair_histogram``            all pairs of the window, counted by distance and travel time
- ``camera_pairs``              which of very many camera pairs are looked at one by one
- ``shared_light``              light that all cameras share, taken out of distances
- ``link_test``                 whether two cameras share people
- ``mixture``                   expectation maximisation: same person or different people
- ``time_grid``                 the bins of travel time
- ``travel_time_distribution``  equation 4: the share of travel times near one
- ``alpha``                     equation 1's constant, the slope of the posterior
- ``within_person``             how far apart one person's episodes lie
- ``model``                     the result
- ``score_tables``              scoring pairs with it
- ``paper``                     the paper's own constants (equations 2 to 4 as printed)
- ``history``                   what calibrations were an hour, a day ago

Change here: how distances and times are turned into evidence.
"""
