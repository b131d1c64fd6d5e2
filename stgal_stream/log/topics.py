"""The topics as they must be: partitions and retention."""

from __future__ import annotations

from stgal_stream.log.port import TopicSpec
from stgal_stream.settings import Config


def topic_specs(config: Config) -> list[TopicSpec]:
    """All topics. Detections are keyed by camera, the rest by site; releases and erasures are each
    in one order."""
    topics, n = config.topics, config.kafka.partitions
    personal, results = topics.retention_personal_s, topics.retention_results_s
    return [
        TopicSpec(topics.detections, n, personal),
        TopicSpec(topics.embeddings, n, personal),
        TopicSpec(topics.identities, n, results),
        TopicSpec(topics.associations, n, results),
        TopicSpec(topics.calibrations, n, results),
        TopicSpec(topics.corrections, n, results),
        TopicSpec(topics.dead_letters, n, results),
        TopicSpec(topics.releases, 1),
        TopicSpec(topics.erasures, 1),
    ]
