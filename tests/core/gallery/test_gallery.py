"""The gallery: rows, expiry, growth, and columns that nobody else writes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stgal_stream.core.gallery.gallery import NO_SLOT, Gallery
from stgal_stream.core.gallery.known_negatives import are_known_negatives, simultaneous_with
from stgal_stream.core.gallery.normalisation import Normalisation, camera_centred
from stgal_stream.core.measures.distance import distances
from stgal_stream.types import Tracklet


def tracklet(number: int, seed: int = 0, dim: int = 4) -> Tracklet:
    rng = np.random.default_rng((seed, number))
    start_s = float(rng.integers(0, 50))
    vector = rng.normal(size=dim).astype(np.float32)
    end_s = start_s + float(rng.integers(0, 9))
    return Tracklet(number, "abc"[number % 3], start_s, end_s, vector, "x", (f"d{number}",))


@given(st.integers(0, 1000), st.lists(st.integers(0, 40), max_size=60), st.integers(1, 30))
def test_a_row_is_the_number_less_the_first(seed: int, gone: list[int], keep: int) -> None:
    """Against a plain list, over many additions and expiries."""
    gallery, plain = Gallery(), list[Tracklet]()
    for number in range(len(gone) * 10):
        made = tracklet(number, seed)
        gallery.add(made, float(number))
        gallery.assign(number, number % 7)
        plain.append(made)
        if number % 10 == 9:
            before = number - gone[number // 10]
            left = gallery.expire(float(before), keep)
            wanted = [t for t in plain if t.number >= before][-keep:]
            assert left == [t.number for t in plain if t not in wanted]
            plain = wanted
        assert [t.number for t in gallery.tracklets] == [t.number for t in plain]
        assert gallery.numbers.tolist() == [t.number for t in plain]
    assert gallery.slots.tolist() == [t.number % 7 for t in plain]
    assert gallery.starts_s.tolist() == [t.start_s for t in plain]
    if plain:
        assert np.array_equal(gallery.embeddings, np.stack([t.embedding for t in plain]))
    restored = Gallery.restore(gallery.state())
    assert restored.numbers.tolist() == gallery.numbers.tolist()
    assert np.array_equal(restored.slots, gallery.slots)


def test_columns_are_written_by_the_gallery_alone() -> None:
    gallery = Gallery()
    gallery.add(tracklet(0), 0.0)
    for column in (gallery.slots, gallery.embeddings, gallery.comparable, gallery.ends_s):
        with pytest.raises(ValueError, match="read-only"):
            column[:] = 0
    assert gallery.slots.tolist() == [NO_SLOT]


def test_a_tracklet_out_of_order_is_refused() -> None:
    with pytest.raises(ValueError, match="out of order"):
        Gallery().add(tracklet(1), 0.0)


@given(st.integers(0, 500))
def test_distances_are_those_of_the_directions(seed: int) -> None:
    gallery = Gallery()
    for number in range(30):
        gallery.add(tracklet(number, seed, dim=6), 0.0)
    rows = np.arange(30)
    for normalisation in (Normalisation(), camera_centred(gallery.embeddings, gallery.cameras)):
        gallery.normalise(normalisation)
        wanted = distances(gallery.directions(rows), gallery.directions(rows))
        assert gallery.distances(rows) == pytest.approx(wanted, abs=5e-3)


@given(st.integers(0, 500))
def test_simultaneous_ones_are_all_that_can_be_known_negatives(seed: int) -> None:
    gallery = Gallery()
    for number in range(25):
        gallery.add(tracklet(number, seed), 0.0)
    for one in gallery.tracklets:
        near = simultaneous_with(gallery, one.number)
        wanted = {
            other.number
            for other in gallery.tracklets
            if other.number != one.number and are_known_negatives(one, other)
        }
        assert near == wanted  # no boxes here, so nothing is one person boxed twice


def test_a_camera_that_left_makes_room_and_takes_its_mean_with_it() -> None:
    gallery = Gallery()
    for number, camera in enumerate("aab"):
        gallery.add(replace(tracklet(number), camera=camera), float(number))
    gallery.normalise(camera_centred(gallery.embeddings, gallery.cameras))
    means = gallery.normalisation.means
    assert means is not None
    gallery.expire(2.0, 10)  # both of a
    assert gallery.n_cameras == 1
    assert not gallery.knows_camera("a")
    gallery.add(replace(tracklet(3), camera="c"), 3.0)
    assert gallery.camera_index("c") == 0
    assert gallery.camera_names == ("c", "b")
    assert gallery.normalisation.means is not None
    assert np.array_equal(gallery.normalisation.means[0], means[-1])
    restored = Gallery.restore(gallery.state())
    assert restored.camera_names == ("c", "b")
    assert np.array_equal(restored.directions(np.arange(2)), gallery.directions(np.arange(2)))
    for number in range(4, 40):
        gallery.add(replace(tracklet(number), camera=f"new-{number}"), float(number))
        gallery.expire(number - 3.0, 10)
    assert len(gallery.camera_names) <= 6
