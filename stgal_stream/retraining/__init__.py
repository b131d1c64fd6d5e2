"""The nightly job: a better extractor from what the stream said about itself, without a label.

- ``data``          what the log or files say: sightings, pseudo-pairs, crops by offset
- ``job``           one retraining from reading to release
- ``negatives``     hard negatives of a window
- ``intra_camera``  batches from within each camera alone (Baseline B)
- ``baseline``      the extractor that a retraining starts from
- ``gate``          whether a candidate may take over
- ``variant``       whether the 8-bit variant is good enough
- ``exclusive``     one at a time
"""
