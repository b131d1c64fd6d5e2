"""The two stages of the daemon, on a log.

In: the detections topic. Out: embeddings, identities, associations, dead letters.

Laws. A stage's outputs and its input offsets commit in one transaction. The embed stage keeps no
state; that of the associate stage is a function of the log prefix.

- ``embed_stage``        detections -> embeddings: read, embed, commit
- ``embed_batch``        one batch of it
- ``event_time_merge``   partitions merged in order of event time
- ``pace``               workers go through a backlog side by side
- ``idle_time``          event time goes on while a site is silent
- ``associate_stage``    embeddings -> identities and associations: read, step, commit
- ``site_partition``     one partition of it: the trackers of its sites
- ``outputs``            what follows from some records, to be committed together
- ``operator_word``      what an operator says goes into the log
- ``lost_records``       what retention took before it was read
- ``snapshots``          state on disk, which shortens recovery
- ``extractor_rollout``  from one extractor to the next while running
"""
