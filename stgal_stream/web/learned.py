"""What a site's newest calibration has learned."""

from __future__ import annotations

import json
from typing import Any

from stgal_stream.web import answers
from stgal_stream.web.read_model import ReadModel


class Learned:
    """Of each site. It is kept until there is a newer one: with many cameras there are thousands of
    pairs in it, and every open page asks for them."""

    def __init__(self, model: ReadModel) -> None:
        self._select = model.select
        self._kept: dict[str, tuple[int, dict[str, Any], list[answers.CameraPair]]] = {}

    def of(self, site: str) -> dict[str, Any]:
        """The record of the calibration; empty before there is one."""
        return self._newest(site)[1]

    def pairs(self, site: str) -> list[answers.CameraPair]:
        """All camera pairs."""
        return self._newest(site)[2]

    def _newest(self, site: str) -> tuple[int, dict[str, Any], list[answers.CameraPair]]:
        newest = "FROM calibration WHERE site = ? ORDER BY number DESC LIMIT 1"
        rows, kept = self._select(f"SELECT number {newest}", site), self._kept.get(site)
        if kept is not None and rows and kept[0] == rows[0]["number"]:
            return kept
        for row in self._select(f"SELECT number, body {newest}", site):
            body: dict[str, Any] = json.loads(row["body"])
            kept = row["number"], body, [_pair(pair) for pair in body.get("pairs", [])]
            self._kept[site] = kept
            return kept
        return 0, {}, []


def _pair(told: dict[str, Any]) -> answers.CameraPair:
    return answers.CameraPair(
        sensor_ids=told["sensorIds"],
        verdict=told["verdict"],
        associations=told["associations"],
        p10_seconds=told["p10Seconds"],
        median_seconds=told["medianSeconds"],
        p90_seconds=told["p90Seconds"],
        median_drift_seconds=told["medianDriftSeconds"],
    )
