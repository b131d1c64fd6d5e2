"""The exact search, against brute force."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stgal_stream.core.gallery.normalisation import camera_centred
from stgal_stream.web.vectors import Place, VectorFile


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    n=st.integers(1, 60),
    dimension=st.integers(1, 12),
    n_cameras=st.integers(1, 4),
    n_asked=st.integers(0, 70),
)
def test_nearest_are_those_of_brute_force(
    seed: int,
    n: int,
    dimension: int,
    n_cameras: int,
    n_asked: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, dimension)).astype(np.float32)
    cameras = rng.integers(0, n_cameras, n)
    cameras = np.unique(cameras, return_inverse=True)[1]
    order = np.argsort([np.flatnonzero(cameras == c)[0] for c in range(cameras.max() + 1)])
    codes = np.argsort(order)[cameras]  # numbered as they come
    file = VectorFile(tmp_path_factory.mktemp("v") / "v.f32", dimension)
    for row in range(n):
        slot = file.write(vectors[row])
        file.place(slot, Place(row, "s", f"c{codes[row]}"))
    file.fit()
    query, camera = vectors[0], codes[0]
    found = file.nearest(query, "s", f"c{camera}", n_asked)
    normalisation = camera_centred(vectors, codes)
    wanted = normalisation.distances(
        normalisation.directions(vectors[:1], codes[:1]),
        vectors,
        codes,
        normalisation.scales(vectors, codes),
        np.einsum("nd,nd->n", vectors, vectors),
    )[0]
    assert len(found) == min(n, n_asked)
    for (number, apart), least in zip(found, np.sort(wanted), strict=False):
        assert apart == pytest.approx(wanted[number], abs=2e-3)
        assert apart == pytest.approx(least, abs=2e-3)
    assert len({number for number, _ in found}) == len(found)
    file.close()


def test_what_is_forgotten_is_overwritten_and_its_place_used_again(tmp_path: Path) -> None:
    path = tmp_path / "v.f32"
    file = VectorFile(path, 3)
    mine = np.array([1.25, -7.5, 3.75], np.float32)
    slot = file.write(mine)
    file.place(slot, Place(1, "s", "a"))
    assert mine.tobytes() in path.read_bytes()
    file.forget([slot])
    assert mine.tobytes() not in path.read_bytes()
    assert file.nearest(mine, "s", "a", 5) == []
    assert file.write(mine) == slot
    file.close()


def test_sites_do_not_see_each_other(tmp_path: Path) -> None:
    file = VectorFile(tmp_path / "v.f32", 2)
    for number, site in enumerate(("one", "two", "one")):
        slot = file.write(np.array([number, 1], np.float32))
        file.place(slot, Place(number, site, "a"))
    assert {n for n, _ in file.nearest(np.ones(2, np.float32), "one", None, 9)} == {0, 2}
    assert file.n_of("two") == 1
    assert file.nearest(np.ones(2, np.float32), "three", None, 9) == []
    file.close()


def test_a_start_finds_what_was_there(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(5, 4)).astype(np.float32)
    file = VectorFile(tmp_path / "v.f32", 4)
    places = [Place(10 + row, "s", "a") for row in range(5)]
    slots = [file.write(vector) for vector in vectors]
    for slot, place in zip(slots, places, strict=True):
        file.place(slot, place)
    file.fit()
    before = file.nearest(vectors[2], "s", "a", 5)
    file.close()
    again = VectorFile(tmp_path / "v.f32", 4)
    again.load(slots[:4], places[:4])  # the last was never committed
    again.fit()
    assert again.nearest(vectors[2], "s", "a", 1)[0][0] == before[0][0] == 12
    assert again.write(vectors[0]) == slots[4]
    again.close()
