"""``stgal.correction.v1``: an operator's word on who is who, and what became of it (JSON).

What an operator says goes into the embeddings topic, since the tracker obeys it in the log's order.
What became of it is in the corrections topic: labels that people gave.
"""

from __future__ import annotations

from typing import Any

from stgal_stream.types import CorrectionEvent, OperatorCorrection, Verdict
from stgal_stream.wire.embedding import CorrectionRecord
from stgal_stream.wire.events import with_id
from stgal_stream.wire.fields import format_time

SCHEMA = "stgal.correction.v1"


def encode_correction(site: str, event: CorrectionEvent) -> bytes:
    """A correction that was obeyed or refused."""
    said = event.correction
    body: dict[str, Any] = {
        "schema": SCHEMA,
        "site": site,
        "timestamp": format_time(event.at_s),
        "atSeconds": event.at_s,
        "correctionId": said.id,
        "verdict": str(said.verdict),
        "first": list(said.first),
        "second": list(said.second),
        "by": said.by,
        "said": format_time(said.said_s),
    }
    if event.refused is not None:
        body["refused"] = event.refused
    return with_id(body)


def as_record(site: str, said: OperatorCorrection) -> CorrectionRecord:
    """What an operator says of a site, as the associate stage reads it."""
    return CorrectionRecord(
        site, said.id, said.verdict, said.first, said.second, said.by, said.said_s
    )


def as_correction(record: CorrectionRecord) -> OperatorCorrection:
    """The correction as the tracker takes it."""
    return OperatorCorrection(
        record.id,
        Verdict(record.verdict),
        record.first,
        record.second,
        record.by,
        record.said_s,
    )
