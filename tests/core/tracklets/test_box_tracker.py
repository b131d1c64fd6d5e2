"""BoxTracker: boxes without a track become tracklets where they are one person, and only there."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from stgal_stream.core.gallery.normalisation import Normalisation, camera_centred
from stgal_stream.core.measures.distance import distances
from stgal_stream.core.tracklets.box_pair_model import NULL_P, SampleBox, fit_box_pairs, p_values
from stgal_stream.core.tracklets.box_tracker import BoxTrack, BoxTracker
from stgal_stream.core.tracklets.open_tracklet import OpenTracklet
from stgal_stream.settings import TrackerSettings
from stgal_stream.types import Box, Detection

SETTINGS = TrackerSettings(first_calibration=60)


def boxes(
    seed: int, *, n_people: int = 150, noise: float = 0.5, twice: bool = False
) -> list[Detection]:
    """People who pass two cameras, a box a second for some seconds; the person leads the id."""
    rng = np.random.default_rng(seed)
    found = []
    for person in range(n_people):
        point, camera = rng.normal(size=32), f"cam-{person % 2}"
        start_s = 1e9 + float(rng.integers(0, 1500))
        for k in range(int(rng.integers(2, 8))):
            for copy in range(2 if twice and k == 1 else 1):
                vector = (point + noise * rng.normal(size=32)).astype(np.float32)
                found.append(Detection(f"{person}-{k}-{copy}", camera, start_s + k, vector, "x"))
    return sorted(found, key=lambda d: (d.time_s, d.camera, d.id))


def tracklets(detections: list[Detection]) -> list[OpenTracklet]:
    tracker, done = BoxTracker(SETTINGS), []
    for detection in detections:
        done += tracker.close(detection.time_s)
        alone = tracker.observe(detection)
        done += [] if alone is None else [alone]
    return done + tracker.close(np.inf)


def people(tracklet: OpenTracklet) -> set[str]:
    return {name.split("-")[0] for name in tracklet.ids}


@pytest.mark.parametrize("twice", [False, True])
def test_boxes_of_one_track_become_one_tracklet(twice: bool) -> None:
    sent = boxes(1, twice=twice)
    late = [d for d in sent if d.time_s > sent[len(sent) // 2].time_s]
    found = tracklets(sent)
    assert Counter(name for t in found for name in t.ids) == Counter(d.id for d in sent)
    assert sum(len(people(t)) > 1 for t in found) <= 0.02 * len(found)
    whole = Counter(d.id.split("-")[0] for d in late)
    started = {d.id.split("-")[0] for d in sent} - {
        d.id.split("-")[0] for d in sent if d not in late
    }
    together = [t for t in found if len(t.ids) == whole[next(iter(people(t)))]]
    assert len(together) > 0.9 * len(started)


def test_noise_joins_nothing() -> None:
    rng = np.random.default_rng(3)
    sent = [replace(d, embedding=rng.normal(size=32).astype(np.float32)) for d in boxes(2)]
    assert all(len(t.ids) == 1 for t in tracklets(sent))


def test_two_boxes_apart_in_one_frame_are_two_people() -> None:
    """However alike: a camera's own boxes say so."""
    left, right = Box(0, 0, 10, 20), Box(100, 0, 110, 20)
    sent = [replace(d, box=right if d.id.endswith("-1") else left) for d in boxes(4, twice=True)]
    for tracklet in tracklets(sent):
        at_once = Counter(name.rsplit("-", 1)[0] for name in tracklet.ids)
        assert max(at_once.values()) == 1


def test_who_was_seen_at_once_is_not_outvoted_by_the_boxes_before() -> None:
    """A track that took in somebody else's box stays closed to its own person in that frame."""
    sent = boxes(1, twice=True)
    tracker = BoxTracker(SETTINGS)
    for detection in sent:
        tracker.observe(detection)
    tracker.close(np.inf)
    last = sent[-1]
    rng = np.random.default_rng(5)
    own, other = rng.normal(size=(2, 32))

    def box(name: str, at_s: float, point: np.ndarray) -> Detection:
        vector = (point + 0.1 * rng.normal(size=32)).astype(np.float32)
        return Detection(name, last.camera, last.time_s + at_s, vector, "x")

    track = BoxTrack.of(box("own-0", 1.0, own))
    track.add(box("own-1", 2.0, own))
    track.add(box("other-0", 3.0, other))
    tracker = BoxTracker.restore(SETTINGS, replace(tracker.state(), open=[track]))
    tracker.observe(box("own-2", 3.0, own))
    assert [t.tracklet.ids for t in tracker.open] == [["own-0", "own-1", "other-0"], ["own-2"]]
    tracker.observe(box("own-3", 3.5, own))
    assert tracker.open[1].tracklet.ids == ["own-2", "own-3"]


def test_p_values_are_the_share_of_the_null_that_lies_closer() -> None:
    null = np.sort(np.random.default_rng(5).normal(10, 1, 20_000))
    kept = np.quantile(null, NULL_P)
    asked = np.array([8.0, 9.5, 10.0, 11.0])
    assert p_values(kept, asked) == pytest.approx(
        np.searchsorted(null, asked) / len(null), abs=0.02
    )


def test_a_camera_with_too_few_boxes_is_not_known() -> None:
    sample = [SampleBox(d.camera, d.time_s, d.embedding, d.id, d.box) for d in boxes(6, n_people=3)]
    model = fit_box_pairs(sample, 5.0, (30.0, 600.0))
    assert not model.knows("cam-0")
    assert not model.knows("never seen")


def test_directions_are_seen_from_the_camera_mean() -> None:
    rng = np.random.default_rng(7)
    x = rng.normal(size=(400, 16)).astype(np.float32)
    cameras = rng.integers(0, 2, 400)
    x += 5.0 * cameras[:, None].astype(np.float32)  # one camera's light moves all it sees
    centred = camera_centred(x, cameras)
    directions = centred.directions(x, cameras)
    assert np.linalg.norm(directions, axis=1) == pytest.approx(1.0, abs=1e-4)
    assert (
        abs(float((directions[cameras == 0].mean(0) - directions[cameras == 1].mean(0)).max()))
        < 0.2
    )
    stored = centred.distances(
        directions[:5], x, cameras, centred.scales(x, cameras), np.einsum("nd,nd->n", x, x)
    )
    # The square root of a rounding error is what is left of a distance of zero.
    assert stored == pytest.approx(distances(directions[:5], directions), abs=5e-3)
    assert Normalisation().directions(x, cameras) is x
