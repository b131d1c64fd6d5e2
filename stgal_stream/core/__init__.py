"""The mathematics and the online tracker: numpy and the standard library, no I/O, no clock.

The rooms, along the data's way. Each imports only from rooms below it in this list:

- ``tracker``      the online tracker of one site
- ``identities``   accepted evidence -> who is who
- ``matching``     a calibrated window -> accepted pairs with their evidence
- ``calibration``  the window -> what a distance and a travel time mean
- ``gallery``      the tracklets in the window, and how two of them are compared
- ``tracklets``    detections -> tracklets
- ``measures``     distances, overlaps, travel times, best buddies: pure functions
"""
