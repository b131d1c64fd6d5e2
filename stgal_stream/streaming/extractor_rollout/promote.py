"""A promotion or a way back: one record in the log, which running daemons follow by themselves."""

from __future__ import annotations

import time

import msgspec

from stgal_stream.errors import DataError, StgalError
from stgal_stream.extractor.releases import Releases
from stgal_stream.log.port import Log, NewRecord
from stgal_stream.streaming.extractor_rollout.state import RolloutState
from stgal_stream.wire.rollout import Promotion, encode


def promote(log: Log, topic: str, releases: Releases, version: str) -> None:
    """Puts a release in use, whatever the gate said.

    Raises:
        ModelError: there is none of that version, or it is damaged.
        LogError: the log cannot be written to.
    """
    _say(log, topic, releases.promotion(version))


def roll_back(
    log: Log, topic: str, releases: Releases, state: RolloutState, *, to_configured: bool = False
) -> str | None:
    """Goes back to what was in use before, or to the configured extractor at once; the release's
    version, None for the configured extractor. ``state`` is that of the log's end.

    Raises:
        DataError: no release is in use.
        ModelError: what was in use before is not what was promoted.
        LogError: the log cannot be written to.
    """
    is_refused = max(state.promotions, default=None) in state.refused
    if state.in_use is None and not (to_configured and is_refused):
        hint = "--to-configured takes back the refused promotion" if is_refused else None
        raise DataError("nothing to roll back: no release is in use", hint=hint)
    before = None if to_configured else state.before_last
    if before is None:
        _say(log, topic, Promotion("rollback", "", "", "", "", time.time()))
        return None
    _say(log, topic, msgspec.structs.replace(_checked(before, releases), at_s=time.time()))
    return before.version


def _say(log: Log, topic: str, promotion: Promotion) -> None:
    log.append([NewRecord(topic, b"rollout", encode(promotion))])


def _checked(before: Promotion, releases: Releases) -> Promotion:
    """The way back to a release, which may lie in another folder than today's, or out of this
    machine's reach: then the workers alone check it.

    Raises:
        ModelError: it is here and not what was promoted.
    """
    found, folder = releases.holding(before), before.folder
    if found.has(before.version):
        try:
            found.promoted(before)
        except StgalError as error:
            error.hint = "models promote another one, or models rollback --to-configured"
            raise
        folder = str(found.folder.resolve())
    return msgspec.structs.replace(before, kind="rollback", folder=folder)
