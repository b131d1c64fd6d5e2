"""Releases of the extractor: what a retraining made, what is in use, what was refused."""

from __future__ import annotations

import threading

from stgal_stream.errors import LogError
from stgal_stream.extractor.releases import Release, Releases
from stgal_stream.log.port import Log
from stgal_stream.streaming.extractor_rollout.promote import promote, roll_back
from stgal_stream.streaming.extractor_rollout.state import RolloutState
from stgal_stream.web import answers


class Rollouts:
    """Reads the releases topic, and the folder where it can be read."""

    def __init__(self, log: Log, topic: str, releases: Releases) -> None:
        self._log = log
        self._topic = topic
        self._releases = releases
        self._lock = threading.Lock()
        self._state = RolloutState()

    def models(self) -> answers.Models:
        """All releases, newest first."""
        state = self._read()
        in_use = state.in_use
        found, faults = self._releases.all()
        refused: dict[str, list[str]] = {}
        for number, refusal in state.refused.items():
            said = f"{refusal.worker}: {refusal.reason}"
            refused.setdefault(state.promotions[number].version, []).append(said)
        return answers.Models(
            in_use=None if in_use is None else in_use.version,
            releases=[
                _release(one, in_use is not None and one.version == in_use.version, refused)
                for one in reversed(found)
            ],
            faults=[str(fault) for fault in faults],
        )

    def promote(self, version: str) -> None:
        """Puts a release in use.

        Raises:
            ModelError: there is none of that version, or it is damaged.
        """
        promote(self._log, self._topic, self._releases, version)

    def roll_back(self) -> str | None:
        """Goes back to what was in use before; its version, None for the configured extractor.

        Raises:
            DataError: no release is in use.
            ModelError: what was in use before is not what was promoted.
        """
        return roll_back(self._log, self._topic, self._releases, self._read())

    def warning(self) -> str | None:
        """What is wrong with the newest promotion, in words."""
        try:
            state = self._read()
        except LogError:  # the follower tells of that
            return None
        newest = max(state.promotions, default=None)
        if newest is None or newest not in state.refused:
            return None
        refusal, version = state.refused[newest], state.promotions[newest].version
        return f"Release {version} is used by nobody: {refusal.worker} refused it, {refusal.reason}"

    def _read(self) -> RolloutState:
        with self._lock:
            if self._log.partitions(self._topic):
                self._state.read(self._log, self._topic)
            return self._state


def _release(one: Release, in_use: bool, refused: dict[str, list[str]]) -> answers.Release:
    return answers.Release(
        version=one.version,
        created=one.created,
        parent=one.parent,
        pairs=one.data.get("pairs"),
        passed=one.gate.get("passed"),
        reason=one.gate.get("reason"),
        gain_at_least=one.gate.get("gain_low"),
        in_use=in_use,
        refused_by=refused.get(one.version, []),
    )
