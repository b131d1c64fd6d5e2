"""What an operator says goes into the log, where the tracker of the site reads it in order."""

from __future__ import annotations

from stgal_stream.log.port import Log, NewRecord
from stgal_stream.settings import TopicSettings
from stgal_stream.types import OperatorCorrection
from stgal_stream.wire.correction import as_record
from stgal_stream.wire.embedding import encode


def say(log: Log, topics: TopicSettings, site: str, correction: OperatorCorrection) -> None:
    """Writes a correction. What becomes of it is told in the corrections topic.

    Raises:
        LogError: it could not be written.
    """
    body = encode(as_record(site, correction))
    log.append([NewRecord(topics.embeddings, site.encode(), body)])
