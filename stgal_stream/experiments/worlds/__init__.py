"""Worlds: streams of simulated people by laws that nobody tuned for, and what becomes of them.

In: a world (a law of movement, of looks, of boxes, of light, and a seed). Out: its figures, and
those of an upper bound that knows the labels, so that a figure can be read as a ratio.

Law: no law knows of the tracker, and the tracker knows no law.

- ``movement``   who is where when
- ``looks``      what an extractor makes of it: embeddings and light
- ``boxes``      what a camera publishes of it: tracks, no tracks, broken ones
- ``bound``      identities by average linkage on the true odds of perfect visits
- ``bench``      a world run through the tracker, measured
- ``catalogue``  the worlds of the bench

Change here: a new law. Every world is vectors only, so that hundreds of people are a matter of
seconds; a result on them is a result on simulated embeddings.
"""
