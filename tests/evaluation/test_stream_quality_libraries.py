"""Stream figures against independent libraries on the same random mappings."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from stgal_stream.evaluation.stream_quality import association_accuracy, idf1

motmetrics = pytest.importorskip("motmetrics", reason="the test extra installs it")


def random_mapping(seed: int) -> tuple[list[str], list[int]]:
    rng = np.random.default_rng(seed)
    people = rng.integers(1, 8, 60)
    confused = rng.random(60) < 0.25
    ids = np.where(confused, rng.integers(1, 10, 60), people)
    return [f"g{i}" for i in ids], people.tolist()


@pytest.mark.parametrize("seed", range(8))
def test_idf1_equals_motmetrics(seed: int) -> None:
    identities, people = random_mapping(seed)
    names = {name: n for n, name in enumerate(dict.fromkeys(identities))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's own, of its pandas
        found = motmetrics.MOTAccumulator(auto_id=True)
        for person, identity in zip(people, identities, strict=True):
            found.update([person], [names[identity]], [[0.0]])
        summary = motmetrics.metrics.create().compute(found, metrics=["idf1"])
    assert idf1(identities, people) == pytest.approx(float(summary["idf1"].iloc[0]))


@pytest.mark.parametrize("seed", range(8))
def test_ass_a_equals_trackeval(seed: int) -> None:
    trackeval = pytest.importorskip("trackeval", reason="the test extra installs it")
    identities, people = random_mapping(seed)
    names = {name: n for n, name in enumerate(dict.fromkeys(identities))}
    persons = {person: n for n, person in enumerate(dict.fromkeys(people))}
    n = len(people)
    data = {
        "num_timesteps": n,
        "num_gt_ids": len(persons),
        "num_tracker_ids": len(names),
        "num_gt_dets": n,
        "num_tracker_dets": n,
        "gt_ids": [np.array([persons[p]]) for p in people],
        "tracker_ids": [np.array([names[i]]) for i in identities],
        "similarity_scores": [np.ones((1, 1))] * n,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = trackeval.metrics.HOTA().eval_sequence(data)
    assert association_accuracy(identities, people) == pytest.approx(float(result["AssA"].mean()))
