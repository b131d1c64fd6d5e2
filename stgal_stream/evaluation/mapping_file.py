"""A stream's mapping against a replay's truth: the two CSV files, joined and scored."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stgal_stream.errors import DataError
from stgal_stream.evaluation.stream_quality import StreamQuality, shared_at_once, stream_quality

_MAPPING_COLUMNS = ("detection_id", "first_global_id", "global_id", "decided_at_s")
_DAY_S = 86_400.0
_TRUTH_COLUMNS = ("detection_id", "person_id", "camera", "time_s")


@dataclass(frozen=True, slots=True)
class MappingQuality:
    """The identity as first published and after renames; seconds of event time until it was known
    (50th, 90th and 99th percentile; None where the truth has no such detection). ``at_once`` counts
    the pairs of two people in one camera at one time, and those of them that share an identity,
    first and final."""

    first: StreamQuality
    final: StreamQuality
    n_mapped: int
    n_truth: int
    decided_after_s: tuple[float, float, float] | None
    at_once: tuple[int, int, int]

    def as_json(self) -> dict[str, Any]:
        """Plain values; figures are fractions."""
        found: dict[str, Any] = {"n_mapped": self.n_mapped, "n_truth": self.n_truth}
        at_once = zip(("pairs", "shared_first", "shared_final"), self.at_once, strict=True)
        found["two_people_at_once"] = dict(at_once)
        for name, q in (("first", self.first), ("final", self.final)):
            found[name] = {
                "across": {
                    "precision": q.across.precision,
                    "recall": q.across.recall,
                    "f1": q.across.f1,
                },
                "within": {
                    "precision": q.within.precision,
                    "recall": q.within.recall,
                    "f1": q.within.f1,
                },
                "idf1": q.idf1,
                "assa": q.ass_a,
                "fragments_per_person": q.fragments,
                "mixed_identities": q.mixed,
                "n_identities": q.n_identities,
            }
        if self.decided_after_s is not None:
            names = ("p50", "p90", "p99")
            found["decided_after_s"] = dict(zip(names, self.decided_after_s, strict=True))
        return found


def score_mapping(mapping: Path, truth: Path) -> MappingQuality:
    """Scores the detections that both files know.

    Raises:
        DataError: a file cannot be read, lacks a column, or the two share no detection.
    """
    rows = _read(mapping, _MAPPING_COLUMNS)
    known = {row["detection_id"]: row for row in _read(truth, _TRUTH_COLUMNS)}
    both = [(row, known[row["detection_id"]]) for row in rows if row["detection_id"] in known]
    if not both:
        raise DataError(
            f"{mapping} and {truth} share no detection", hint="are they of the same replay?"
        )
    try:
        people = [p if (p := int(label["person_id"])) > 0 else None for _, label in both]
    except ValueError as error:
        raise DataError(f"{truth}: person_id must be a number: {error}") from error
    cameras = [label["camera"] for _, label in both]
    moments = [label["time_s"] for _, label in both]
    given = [[row[name] for row, _ in both] for name in ("first_global_id", "global_id")]
    first, final = (stream_quality(ids, people, cameras) for ids in given)
    (n, shared_first), (_, shared) = (
        shared_at_once(ids, people, cameras, moments) for ids in given
    )
    return MappingQuality(
        first, final, len(rows), len(known), _delays(both), (n, shared_first, shared)
    )


def _delays(both: list[tuple[dict[str, str], dict[str, str]]]) -> tuple[float, float, float] | None:
    """None where the two files are not on one clock: nobody waits a day for an identity."""
    try:
        decided = np.array([float(row["decided_at_s"]) for row, _ in both])
        seen = np.array([float(label["time_s"]) for _, label in both])
    except ValueError:
        return None
    delay = decided - seen
    if not 0 <= float(np.median(delay)) < _DAY_S:
        return None
    p50, p90, p99 = np.quantile(delay, (0.5, 0.9, 0.99))
    return float(p50), float(p90), float(p99)


def _read(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    try:
        with path.open(newline="") as lines:
            rows = list(csv.DictReader(lines))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV: {error}") from error
    missing = [c for c in columns if not rows or c not in rows[0] or rows[0][c] is None]
    if missing:
        raise DataError(f"{path} has no column {', '.join(missing)}")
    return rows
