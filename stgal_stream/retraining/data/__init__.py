"""What a retraining reads: the daemon's own outputs, and the crops by offset. No label is in them.

- ``sources``            a log, or files
- ``pseudo_pairs``       sightings and the pairs between them
- ``stream_events``      identity and association events as they are read
- ``logged_embeddings``  where a tracklet's other crops lie, and how the extractor in use sees it
- ``logged_crops``       crops by their place in the log
"""
