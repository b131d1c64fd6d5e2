"""Whose sightings look like a picture: for somebody who does not know their own id."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from stgal_stream.log.port import Log
from stgal_stream.log.reading import records
from stgal_stream.privacy.person import IdentityHistory, embedding_of
from stgal_stream.settings import TopicSettings
from stgal_stream.types import Vector
from stgal_stream.wire.embedding import EmbeddingRecord, as_vector


@dataclass(frozen=True, slots=True)
class Lookalike:
    """An identity, and the mean cosine of its detections to a picture."""

    site: str
    identity: str
    similarity: float
    n_detections: int


def lookalikes(
    log: Log, topics: TopicSettings, extractor: str, vector: Vector, n: int
) -> list[Lookalike]:
    """The ``n`` identities most like a picture, given its features (D,), the most alike first."""
    whose = IdentityHistory.of(log, topics.identities).detections
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    mine = vector / np.linalg.norm(vector)
    for partition in range(log.partitions(topics.embeddings)):
        for record in records(log, topics.embeddings, partition):
            content = embedding_of(record)
            if not isinstance(content, EmbeddingRecord) or content.extractor != extractor:
                continue
            identity = whose.get((content.site, content.id))
            other = as_vector(content)
            if identity is not None and len(other) == len(mine):
                cosine = float(mine @ other) / float(np.linalg.norm(other))
                found[content.site, identity].append(cosine)
    ranked = [
        Lookalike(site, identity, float(np.mean(cosines)), len(cosines))
        for (site, identity), cosines in found.items()
    ]
    return sorted(ranked, key=lambda one: (-one.similarity, one.identity))[:n]
