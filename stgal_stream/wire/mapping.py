"""``mapping.csv``: which identity every detection got, at first and after all renames."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COLUMNS = ("detection_id", "first_global_id", "global_id", "decided_at_s")


@dataclass(frozen=True, slots=True)
class Assignment:
    """One detection's identity as first published, the final one, and the event time (Unix
    seconds) at which it was first published."""

    detection_id: str
    first_global_id: str
    global_id: str
    decided_at_s: float


class Mapping:
    """Collects identity events (decoded JSON) into one row for every detection."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[str, float]] = {}
        self._moved: dict[str, str] = {}
        self._renamed: dict[str, str] = {}
        self.n_renames = 0

    def __len__(self) -> int:
        return len(self._first)

    def take(self, event: dict[str, Any]) -> None:
        """Takes the next event, in the order of the log."""
        if event["type"] in ("created", "joined"):
            for name in event["tracklet"]["detections"]:
                self._first[name] = (event["globalId"], event["atSeconds"])
        elif event["type"] == "renamed":
            self.n_renames += 1
            if event["scope"] == "identity":
                self._renamed[event["from"]] = event["to"]
            else:
                for name in event["tracklet"]["detections"]:
                    self._moved[name] = event["to"]

    def final(self, global_id: str) -> str:
        """What an identity is called after all renames."""
        path = []
        while global_id in self._renamed:
            path.append(global_id)
            global_id = self._renamed[global_id]
        for name in path:
            self._renamed[name] = global_id
        return global_id

    def __iter__(self) -> Iterator[Assignment]:
        for name, (first, decided_at_s) in self._first.items():
            final = self.final(self._moved.get(name, first))
            yield Assignment(name, first, final, decided_at_s)

    def write(self, path: Path) -> None:
        """Writes the CSV.

        Raises:
            OSError: it cannot be written.
        """
        with path.open("w", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(COLUMNS)
            for row in self:
                writer.writerow(
                    (row.detection_id, row.first_global_id, row.global_id, row.decided_at_s)
                )
