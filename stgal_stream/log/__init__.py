"""The log: topics of records in partitions, offsets per group, and one atomic commit.

- ``port``                          what a log is; one conformance suite runs on every one
- ``kafka``, ``kafka_subscription`` Apache Kafka, with transactions
- ``kafka_erasure``, ``kafka_keys``  single records taken out of its topics
- ``embedded``                      SQLite in one directory
- ``reading``                       a topic from an offset to its end
- ``topics``                        the topics that a daemon needs
"""
