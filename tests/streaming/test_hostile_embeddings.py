"""Whoever may write to the embeddings topic can write what no embed worker does: it is refused, and
the tracker goes on."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.port import Partition, Record
from stgal_stream.settings import AssociateSettings, TopicSettings
from stgal_stream.streaming.outputs import Outputs
from stgal_stream.streaming.site_partition import SitePartition
from stgal_stream.types import Reason
from stgal_stream.wire.embedding import EmbeddingRecord, SwitchRecord, TickRecord, encode
from tests.support.walk import simulated_walk

AT = Partition("embeddings", 0)
GOOD = [
    EmbeddingRecord(
        "here", seen.id, seen.camera, seen.time_s, seen.extractor,
        seen.embedding.astype("<f4").tobytes(), None, (1.0, 2.0, 3.0, 4.0), 0.5, None, 1.8e9,
    )
    for seen in simulated_walk(3, n_people=3, dim=4)
]  # fmt: skip
HOSTILE: list[Any] = [
    *(msgspec.structs.replace(GOOD[20], time_s=bad) for bad in (math.nan, math.inf, -1.0, 1e300)),
    *(msgspec.structs.replace(GOOD[20], weight=bad) for bad in (math.nan, math.inf, -1.0, 1e300)),
    *(msgspec.structs.replace(GOOD[20], box=(bad,) * 4) for bad in (math.nan, math.inf, 1e308)),
    *(TickRecord("here", bad) for bad in (math.nan, math.inf, 1e300)),
    SwitchRecord("one", "another", (0,), 2**62),
    SwitchRecord("one", "another", (0,), 0),
]


@pytest.mark.parametrize("hostile", HOSTILE, ids=repr)
def test_a_record_that_no_worker_writes_is_refused(hostile: Any, tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path)
    partition = SitePartition(AT, AssociateSettings(first_calibration=3), 0, 0, 0)
    out = Outputs(TopicSettings())
    end = TickRecord("here", GOOD[-1].time_s + 100, is_end=True)
    values = [encode(record) for record in (*GOOD[:20], hostile, *GOOD[20:], end)]
    for offset, value in enumerate(values):
        partition.take(log, Record(AT, offset, None, value, (), 1.8e9), out)
    assert out.refused == [Reason.SCHEMA]
    assert partition.next_offset == len(values)
    assert len(out.events) > 3
    log.close()
