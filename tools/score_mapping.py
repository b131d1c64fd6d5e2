#!/usr/bin/env python
"""A mapping against the truth that a replay wrote: pairs across cameras and within, IDF1, time.

stgal-stream replay schedule --schedule S.csv.gz --to d.jsonl --truth truth.csv
stgal-stream run --from d.jsonl --to i.jsonl --mapping mapping.csv
python tools/score_mapping.py mapping.csv truth.csv
"""

from __future__ import annotations

import csv
import sys

from stgal_stream.evaluation.stream_quality import idf1, pair_quality


def main(mapping_path: str, truth_path: str) -> None:
    with open(mapping_path) as lines:
        rows = list(csv.DictReader(lines))
    with open(truth_path) as lines:
        truth = {row["detection_id"]: row for row in csv.DictReader(lines)}
    people = [int(truth[row["detection_id"]]["person_id"]) for row in rows]
    # Distractors, junk and false alarms are nobody: each counts as a person of its own.
    persons = [p if p > 0 else row["detection_id"] for p, row in zip(people, rows, strict=True)]
    cameras = [truth[row["detection_id"]]["camera"] for row in rows]
    print(f"{len(rows)} of {len(truth)} detections mapped")
    for name, column in (("first", "first_global_id"), ("final", "global_id")):
        given = [row[column] for row in rows]
        across = pair_quality(given, persons, cameras)
        within = pair_quality(given, persons, cameras, across_cameras=False)
        score = idf1(given, [p if p > 0 else None for p in people])
        print(
            f"{name}: across cameras precision {across.precision:.3f} recall {across.recall:.3f}, "
            f"within {within.precision:.3f} / {within.recall:.3f}, IDF1 {score:.3f}, "
            f"{len(set(given))} identities"
        )


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
