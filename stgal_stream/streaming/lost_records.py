"""Records that retention took before anybody read them."""

from __future__ import annotations

import logging

from stgal_stream.log.port import Partition, Subscription

logger = logging.getLogger(__name__)


def tell_lost(subscription: Subscription, partition: Partition) -> None:
    """Says which records of a partition are gone that the group has not read: whoever was away for
    longer than the log keeps them has lost them."""
    committed, first = subscription.committed(partition), subscription.beginning(partition)
    if committed is None or first <= committed:
        return
    logger.warning(
        "%s/%d: records %d to %d were deleted by retention before they were read: they are lost. "
        "The topic must keep records for longer than a daemon may be away",
        partition.topic,
        partition.number,
        committed,
        first - 1,
    )
