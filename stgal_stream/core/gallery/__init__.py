"""The gallery: the tracklets in the window, and how two of them are compared.

In: complete tracklets, in order. Out: rows, distances, travel times, known negatives.

Law: a tracklet's row is its number minus the first one's; columns are written by ``Gallery``'s own
methods and by nobody else.

- ``gallery``          the window's tracklets as columns
- ``normalisation``    camera-centred directions: what is compared
- ``known_negatives``  pairs that were in one camera at one time (equation 2)

Change here: what is stored for a tracklet, and what makes two embeddings comparable.
"""
