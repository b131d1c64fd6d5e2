"""The identities topic -> whoever wants to hear of it: committed when the receiver has it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from stgal_stream.errors import LogError, PermanentLogError
from stgal_stream.log.port import Log, Subscription

logger = logging.getLogger(__name__)

_BATCH = 100
_POLL_S = 0.5
_MAX_BACKOFF_S = 60.0


class Outlet(Protocol):
    """A receiver of identity events."""

    def send(self, events: Sequence[bytes]) -> None:
        """Delivers events, each one's JSON, in order.

        Raises:
            LogError: the receiver does not have them all; they are sent again.
        """


def carry_out(
    log: Log,
    topic: str,
    group: str,
    outlet: Outlet,
    stop: threading.Event,
    on_progress: Callable[[int], None] = lambda n: None,
) -> None:
    """Sends every event of a topic until stopped, from where the group was.

    Raises:
        PermanentLogError: the log cannot be used, and no waiting mends it.
    """
    n_sent, attempt = 0, 0
    while not stop.is_set():
        try:
            subscription = log.subscribe(group, [topic])
            try:
                while not stop.is_set():
                    n_sent += _step(subscription, outlet)
                    attempt = 0
                    on_progress(n_sent)
            finally:
                subscription.close()
        except PermanentLogError:
            raise
        except LogError as error:
            wait_s = _wait_s(attempt)
            attempt += 1
            logger.error("%s; trying again in %.1f s", error, wait_s)
            stop.wait(wait_s)


def _step(subscription: Subscription, outlet: Outlet) -> int:
    records = subscription.poll(_BATCH, _POLL_S)
    if not records:
        return 0
    outlet.send([record.value for record in records])
    held = subscription.assignment()
    offsets = {r.partition: r.offset + 1 for r in records if r.partition in held}
    if offsets:
        subscription.commit([], offsets)
    return len(records)


def _wait_s(attempt: int) -> float:
    """Half a second, doubled up to a minute: a receiver is somebody else's server."""
    return float(min(_MAX_BACKOFF_S, 0.5 * 2 ** min(attempt, 10)))
