"""One person in the log: found, given to them, forgotten.

- ``person``    all that the log holds of one person, and where
- ``lookalike`` whose sightings look like a picture
- ``forgetting`` the order in which tracker, log and followers forget
- ``export``    the person's data as files (a request for access)
- ``redaction`` a record without the person
- ``scrubbing`` the person's data taken out of an embedded log, a state directory, a read model
- ``topic_scrubbing`` the same of Kafka topics
"""
