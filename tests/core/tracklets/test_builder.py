"""From detections to tracklets: what the camera says about tracks is evidence, not truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stgal_stream.core.tracklets.box_tracker import BoxTracker
from stgal_stream.core.tracklets.builder import TrackletBuilder
from stgal_stream.core.tracklets.open_tracklet import OpenTracklet
from stgal_stream.settings import TrackerSettings
from stgal_stream.types import Box, Detection

SETTINGS = TrackerSettings()
HERE, NEAR, THERE = Box(0, 0, 10, 20), Box(1, 1, 11, 21), Box(90, 0, 100, 20)


def seen(name: str, time_s: float, track: str | None, box: Box | None) -> Detection:
    return Detection(name, "cam", time_s, np.ones(4, np.float32), "x", track, box)


def tracklets(sent: list[Detection]) -> list[OpenTracklet]:
    builder = TrackletBuilder(SETTINGS, BoxTracker(SETTINGS))
    for detection in sent:
        builder.observe(detection)
    return builder.close(1e9)


@pytest.mark.parametrize("boxes", [(HERE, THERE), (None, None)])
def test_a_track_in_two_places_at_once_is_not_believed(
    boxes: tuple[Box | None, Box | None],
) -> None:
    sent = [seen(f"{t}-{i}", float(t), "odd", box) for t in range(5) for i, box in enumerate(boxes)]
    sent += [seen(f"good-{t}", float(t), "good", HERE) for t in range(5)]
    found = sorted(t.ids for t in tracklets(sent))
    assert [f"good-{t}" for t in range(5)] in found
    assert len(found) == 11  # nothing is learned of boxes yet, so every other one is by itself


def test_one_person_boxed_twice_stays_one_track() -> None:
    sent = [
        seen(f"{t}-{i}", float(t), "7", b) for t in range(5) for i, b in enumerate((HERE, NEAR))
    ]
    (found,) = tracklets(sent)
    assert len(found.ids) == 10


@pytest.mark.parametrize("is_closed_between", [True, False])  # by something of another camera
def test_a_doubted_track_stays_doubted_through_a_restart_and_is_forgotten_after_a_window(
    is_closed_between: bool,
) -> None:
    builder = TrackletBuilder(SETTINGS, BoxTracker(SETTINGS))
    for detection in (seen("a", 0.0, "odd", HERE), seen("b", 0.0, "odd", THERE)):
        builder.observe(detection)
    assert len(builder.close(5.0)) == 2
    again = TrackletBuilder.restore(SETTINGS, builder.state())
    late_s = SETTINGS.window_s * 3
    for detection in (seen("c", 6.0, "odd", HERE), seen("d", 7.0, "odd", HERE)):
        again.observe(detection)
    assert [t.ids for t in again.close(20.0)] == [["c"], ["d"]]
    if is_closed_between:
        again.close(late_s - 1)
    for detection in (seen("e", late_s, "odd", HERE), seen("f", late_s + 1, "odd", HERE)):
        again.observe(detection)
    assert [t.ids for t in again.close(late_s + 60)] == [["e", "f"]]


def weighted(name: str, time_s: float, axis: int, weight: float, box: Box | None) -> Detection:
    vector = np.eye(4, dtype=np.float32)[axis]
    return replace(seen(name, time_s, "7", box), embedding=vector, weight=weight)


def test_a_detection_counts_by_its_weight() -> None:
    """The mean direction by hand, at unit length."""
    (found,) = tracklets([weighted("a", 0.0, 0, 3.0, None), weighted("b", 1.0, 1, 1.0, None)])
    assert found.mean_embedding() == pytest.approx([3 / 10**0.5, 1 / 10**0.5, 0, 0])
    assert found.weight == 4.0


@pytest.mark.parametrize("weight", [1.0, 0.25, 8.0])
def test_where_all_count_alike_weights_change_nothing(weight: float) -> None:
    sent = [weighted(f"d{k}", float(k), k % 3, weight, None) for k in range(7)]
    (plain,) = tracklets([replace(d, weight=1.0) for d in sent])
    (found,) = tracklets(sent)
    assert found.mean_embedding().tolist() == plain.mean_embedding().tolist()


def test_who_is_hidden_for_a_moment_counts_little_then() -> None:
    """Two people pass before each other: the one behind is hidden by nine tenths once."""
    sent = [weighted(f"d{k}", float(k), 0, 1.0, HERE) for k in range(2)]
    sent.append(weighted("hidden", 2.0, 1, 1.0, HERE))
    before = replace(seen("other", 2.0, "8", Box(1, 0, 21, 40)), embedding=np.ones(4, np.float32))
    found = {t.track_id: t for t in tracklets([*sent, before])}
    assert found["7"].weight == pytest.approx(2.1)
    assert found["8"].weight == 1.0
    assert found["7"].mean_embedding()[1] == pytest.approx(
        found["7"].mean_embedding()[0] * 0.1 / 2, rel=1e-6
    )
