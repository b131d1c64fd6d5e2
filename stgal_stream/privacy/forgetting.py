"""One person, forgotten: by the tracker, by the log, by what follows the log; and noted as done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from stgal_stream.daemon import Daemon
from stgal_stream.log.embedded import EmbeddedLog
from stgal_stream.log.port import Log, NewRecord
from stgal_stream.log.reading import records
from stgal_stream.privacy.person import Person, embedding_of
from stgal_stream.privacy.scrubbing import scrub_log, scrub_page, scrub_state
from stgal_stream.settings import Config
from stgal_stream.wire.embedding import ErasureRecord, encode
from stgal_stream.wire.fields import format_time

SCHEMA = "stgal.erasure.v1"
_ASK_S = 0.3


def forget_on_embedded(
    log: EmbeddedLog,
    config: Config,
    person: Person,
    page: Path,
    on_step: Callable[[str], None] = lambda what: None,
) -> dict[str, int]:
    """Forgets a person on a log that nobody works on; ``page`` is the folder of the page's read
    model. How many records of each topic were changed.

    The tracker obeys first, from its snapshot on, so that it never has to go back to what is taken
    out then.

    Raises:
        LogError: a daemon works on the log, or it cannot be written to; begin again.
    """
    group = f"{config.kafka.group_prefix}-associate"
    log.subscribe(group, [config.topics.embeddings]).close()  # says who works on it
    on_step("the tracker forgets")
    tell(log, config, person)
    end = threading.Event()
    end.set()
    Daemon(log, config, "associate").run(end=end, serve=False)
    scrub_state(Path(config.daemon.state_dir))
    scrub_page(page, person)
    counts = scrub_log(log, config, person, on_step)
    note(log, config, person.site, counts, tracker=True, gone_s=None)
    return counts


def tell(log: Log, config: Config, person: Person) -> dict[int, int]:
    """Tells the tracker, and all who follow it; by partition of the embeddings the offset after
    what was told."""
    topic, key = config.topics.embeddings, person.site.encode()
    before = {n: log.end(topic, n) for n in range(log.partitions(topic))}
    log.append([NewRecord(topic, key, encode(record)) for record in person.erasures()])
    return {
        number: record.offset + 1
        for number, end in before.items()
        for record in records(log, topic, number, end)
        if isinstance(told := embedding_of(record), ErasureRecord) and person.is_embedding(told)
    }


def wait_until_read(log: Log, config: Config, told: Mapping[int, int], timeout_s: float) -> bool:
    """Waits for the daemons to have obeyed what was told; whether they have."""
    topic, group = config.topics.embeddings, f"{config.kafka.group_prefix}-associate"
    deadline = time.monotonic() + timeout_s
    while True:
        read = log.committed(group, topic)
        if all(read.get(number, 0) >= end for number, end in told.items()):
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(_ASK_S)


def note(
    log: Log,
    config: Config,
    site: str,
    counts: Mapping[str, int],
    *,
    tracker: bool,
    gone_s: float | None,
) -> None:
    """Writes that somebody was erased, without who."""
    body = {
        "schema": SCHEMA,
        "site": site,
        "timestamp": format_time(time.time()),
        "records": dict(counts),
        "tracker": tracker,
        "gone": None if gone_s is None else format_time(gone_s),
    }
    log.append([NewRecord(config.topics.erasures, site.encode(), msgspec.json.encode(body))])
